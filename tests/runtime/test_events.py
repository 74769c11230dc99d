from motet.runtime import events, wire
from motet.runtime.interface import EventKind, RuntimeEvent


def test_the_exit_of_a_containers_first_process_is_its_exit():
    value = wire.MESSAGE["TaskExit"](container_id="c1", id="c1", pid=7, exit_status=3).SerializeToString()
    assert events.translate("/tasks/exit", value) == RuntimeEvent(EventKind.EXITED, "c1", 3)


def test_the_exit_of_an_exec_is_nobodys_business():
    value = wire.MESSAGE["TaskExit"](container_id="c1", id="exec-5", exit_status=3).SerializeToString()
    assert events.translate("/tasks/exit", value) is None


def test_starts_kills_and_removals_are_told_apart():
    start = wire.MESSAGE["TaskStart"](container_id="c1", pid=7).SerializeToString()
    oom = wire.MESSAGE["TaskOOM"](container_id="c1").SerializeToString()
    delete = wire.MESSAGE["ContainerDelete"](id="c1").SerializeToString()
    assert events.translate("/tasks/start", start) == RuntimeEvent(EventKind.STARTED, "c1")
    assert events.translate("/tasks/oom", oom) == RuntimeEvent(EventKind.OOM, "c1")
    assert events.translate("/containers/delete", delete) == RuntimeEvent(EventKind.REMOVED, "c1")
    assert events.translate("/tasks/paused", b"") is None


def test_fields_that_are_not_in_the_table_are_skipped():
    # Field 9, a string: what a later containerd might add.
    value = wire.MESSAGE["TaskOOM"](container_id="c1").SerializeToString() + b"\x4a\x03new"
    assert wire.MESSAGE["TaskOOM"].FromString(value).container_id == "c1"


def test_lag_remembers_the_last_and_the_worst():
    lag = events.Lag()
    for seconds in (0.1, 0.3, 0.2, -0.1):
        lag.note(seconds)
    assert (lag.last, lag.worst, lag.count) == (0.0, 0.3, 4)
