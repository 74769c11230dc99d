from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.pods.decide import decide, ending, restarts
from motet.pods.model import (
    EnsureImage,
    Failure,
    Health,
    Observed,
    Records,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainers,
)
from motet.pods.spec import Pod
from motet.runtime.interface import ContainerState
from support.pods import START, World, app, container, exited, pod, sandbox

READY = Records(prepared=True)
DELETING = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 7}


def settle(world: World, pod: Pod, limit: int = 200) -> None:
    """Take steps until there are none."""
    for _ in range(limit):
        step = decide(pod, world.observed, world.records, world.now).step
        if step is None or world.deleted:
            return
        world.apply(step)
    raise AssertionError(f"does not settle: {world.steps[-6:]}")


def names(world: World) -> list[str]:
    return [type(step).__name__ for step in world.steps]


def test_a_new_pod_is_made_step_by_step():
    world = World()
    settle(world, pod())
    assert names(world) == ["Prepare", "CreateSandbox", "EnsureImage", "CreateContainer", "StartContainer"]


def test_a_running_pod_needs_nothing_even_after_the_agent_forgot_everything():
    running = Observed((sandbox(),), (container(),))
    assert decide(pod(), running, Records(), START + 5).step is None


def test_init_containers_run_one_after_the_other_before_the_rest():
    world, wanted = World(), pod(app(), initContainers=[app("one"), app("two")])
    settle(world, wanted)
    assert [one.name for one in world.observed.containers] == ["one"]
    world.end("one-0", 0)
    settle(world, wanted)
    assert [one.name for one in world.observed.running] == ["two"]
    world.end("two-0", 0)
    settle(world, wanted)
    assert [one.name for one in world.observed.running] == ["app"]


def test_a_failed_init_container_is_tried_again_unless_the_policy_is_never():
    failed = Observed((sandbox(),), (exited("one", 1),))
    again = decide(pod(app(), initContainers=[app("one")]), failed, READY, START + 2).step
    assert again == EnsureImage("one", 1)
    never = pod(app(), initContainers=[app("one")], restartPolicy="Never")
    final = ending(never, failed, START + 2)
    assert final is not None
    assert final.phase == "Failed"


def test_a_sidecar_that_has_started_lets_the_rest_begin_and_keeps_running():
    wanted = pod(app(), initContainers=[app("side", restartPolicy="Always")])
    world = World()
    settle(world, wanted)
    assert [one.name for one in world.observed.running] == ["side", "app"]


def test_a_sidecar_with_a_startup_probe_holds_the_rest_back_until_it_passes():
    wanted = pod(app(), initContainers=[app("side", restartPolicy="Always", startupProbe={"tcpSocket": {"port": 1}})])
    seen = Observed((sandbox(),), (container("side"),))
    assert decide(wanted, seen, READY, START).step is None
    started = Records(prepared=True, health={"side-0": Health(started=True)})
    assert decide(wanted, seen, started, START).step == EnsureImage("app", 0)


def test_the_first_restart_is_immediate_and_later_ones_wait_twice_as_long_each_time():
    world, waits = World(), []
    wanted = pod()
    settle(world, wanted)
    for _ in range(8):
        latest = world.observed.latest("app")
        assert latest is not None
        world.now += 1
        world.end(latest.id, 1)
        decision = decide(wanted, world.observed, world.records, world.now)
        waits.append(0 if decision.wake_at is None else round(decision.wake_at - world.now))
        world.now += waits[-1]
        settle(world, wanted)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_ten_minutes_of_running_forget_the_back_off():
    seen = Observed((sandbox(),), (exited(code=1, attempt=5, started=START, ended=START + 601, backoff=160),))
    assert decide(pod(), seen, READY, START + 601).step == EnsureImage("app", 6)


def test_a_clock_that_was_set_back_makes_no_crashed_container_wait_for_hours():
    dead = exited(backoff=40)
    observed = Observed((sandbox(),), (dead,))
    ended = dead.finished_at / 1e9
    assert decide(pod(), observed, READY, ended + 1).step is None
    assert decide(pod(), observed, READY, ended - 3600).step is not None
    failed = Records(prepared=True, failures={"app": Failure("Why", "because", ended, 20)})
    assert decide(pod(), Observed((sandbox(),), ()), failed, ended - 3600).step is not None


def test_the_back_off_survives_a_new_agent():
    seen = Observed((sandbox(),), (exited(code=1, attempt=3, backoff=40),))
    decision = decide(pod(), seen, Records(), START + 2)
    assert decision.step is None
    assert decision.wake_at == START + 41


def test_restart_policies_decide_who_is_replaced():
    well, badly = Observed((sandbox(),), (exited(),)), Observed((sandbox(),), (exited(code=2),))
    phases = {}
    for policy in ("Always", "OnFailure", "Never"):
        for name, seen in (("well", well), ("badly", badly)):
            final = ending(pod(restartPolicy=policy), seen, START + 2)
            phases[policy, name] = final.phase if final else "restarts"
    assert phases == {
        ("Always", "well"): "restarts",
        ("Always", "badly"): "restarts",
        ("OnFailure", "well"): "Succeeded",
        ("OnFailure", "badly"): "restarts",
        ("Never", "well"): "Succeeded",
        ("Never", "badly"): "Failed",
    }


def test_a_pod_that_ended_gives_back_its_sandbox_and_volumes_but_keeps_its_containers():
    world, wanted = World(), pod(restartPolicy="Never")
    settle(world, wanted)
    world.end("app-0", 0)
    settle(world, wanted)
    assert names(world)[-2:] == ["StopSandbox", "Cleanup"]
    assert len(world.observed.containers) == 1


def test_sidecars_stop_when_the_ordinary_containers_are_done():
    wanted = pod(app(), initContainers=[app("side", restartPolicy="Always")], restartPolicy="Never")
    world = World()
    settle(world, wanted)
    world.end("app-0", 0)
    settle(world, wanted)
    assert world.observed.running == ()


def test_deletion_stops_with_the_grace_it_was_given_and_leaves_nothing():
    world = World()
    settle(world, pod())
    world.steps.clear()
    gone = pod(meta=DELETING)
    settle(world, gone)
    assert names(world) == ["StopContainers", "StopSandbox", "RemoveSandbox", "Cleanup", "FinishDeletion"]
    stop = world.steps[0]
    assert isinstance(stop, StopContainers)
    assert stop.grace == 7
    assert not world.disk
    assert world.observed == Observed()


def test_a_sidecar_is_stopped_after_the_ordinary_containers():
    wanted = pod(app(), initContainers=[app("side", restartPolicy="Always")], meta=DELETING)
    seen = Observed((sandbox(),), (container("side"), container()))
    step = decide(wanted, seen, READY, START).step
    assert isinstance(step, StopContainers)
    assert [kill.container for kill in step.kills] == ["app"]


def test_a_pod_that_vanished_from_the_api_is_stopped_almost_at_once():
    step = decide(pod(), Observed((sandbox(),), (container(),)), READY, START, gone=True).step
    assert isinstance(step, StopContainers)
    assert step.grace == 2


def test_a_failed_liveness_probe_kills_with_the_grace_of_the_probe():
    records = Records(prepared=True, health={"app-0": Health(failed="Container app failed liveness probe", grace=3)})
    step = decide(pod(), Observed((sandbox(),), (container(),)), records, START).step
    assert isinstance(step, StopContainers)
    assert (step.grace, step.message) == (3, "Container app failed liveness probe, will be restarted")


def test_a_dead_sandbox_is_replaced_and_its_containers_start_again():
    world, wanted = World(), pod()
    settle(world, wanted)
    world.lose_sandbox()
    world.steps.clear()
    settle(world, wanted)
    assert names(world)[:2] == ["StopSandbox", "CreateSandbox"]
    latest = world.observed.latest("app")
    assert latest is not None
    assert (latest.sandbox_id, latest.attempt, latest.state) == ("box1", 1, ContainerState.RUNNING)


def test_an_old_sandbox_goes_once_nothing_worth_keeping_is_in_it():
    seen = Observed(
        (sandbox(0, ready=False), sandbox(1)),
        (container(attempt=2, box="box1"), exited(attempt=1, box="box1"), exited(attempt=0)),
    )
    assert decide(pod(), seen, READY, START).step == RemoveContainer("app-0")
    fewer = Observed(seen.sandboxes, seen.containers[:2])
    assert decide(pod(), fewer, READY, START).step == RemoveSandbox("box0")


def test_a_failure_is_waited_out():
    records = Records(prepared=True, failures={"app": Failure("ErrImagePull", "no", START, 10)})
    seen = Observed((sandbox(),))
    early = decide(pod(), seen, records, START + 4)
    assert (early.step, early.wake_at) == (None, START + 10)
    assert decide(pod(), seen, records, START + 10).step == EnsureImage("app", 0)


def test_a_container_held_up_does_not_hold_up_its_neighbour():
    records = Records(prepared=True, failures={"app": Failure("ErrImagePull", "no", START, 10)})
    step = decide(pod(app(), app("other")), Observed((sandbox(),)), records, START + 4).step
    assert step == EnsureImage("other", 0)


def test_the_deadline_ends_the_pod():
    late = pod(activeDeadlineSeconds=60, status={"phase": "Running", "startTime": "2026-01-01T00:00:00Z"})
    seen = Observed((sandbox(),), (container(),))
    assert decide(late, seen, READY, START + 59).wake_at == START + 60
    assert isinstance(decide(late, seen, READY, START + 60).step, StopContainers)
    final = ending(late, seen, START + 60)
    assert final is not None
    assert final.reason == "DeadlineExceeded"


def test_a_pod_the_api_calls_finished_is_never_started():
    assert decide(pod(status={"phase": "Failed"}), Observed(), Records(), START).step is None


def test_a_pod_with_unsupported_fields_is_not_started():
    assert decide(pod(), Observed(), Records(unsupported="spec.hostUsers"), START).step is None


def test_a_container_that_was_made_but_not_started_is_started():
    seen = Observed((sandbox(),), (container(state=ContainerState.CREATED),))
    assert decide(pod(), seen, Records(), START).step == StartContainer("app", "app-0")


# --- laws -------------------------------------------------------------------------------------------------------------

_sizes = st.integers(0, 2)
_policies = st.sampled_from(["Always", "OnFailure", "Never"])


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    inits = [
        app(f"init{index}", **({"restartPolicy": "Always"} if draw(st.booleans()) else {}))
        for index in range(draw(_sizes))
    ]
    mains = [app(f"main{index}") for index in range(1 + draw(_sizes))]
    return {"mains": mains, "initContainers": inits, "restartPolicy": draw(_policies)}


# What may happen between two steps.
_happenings = st.lists(
    st.sampled_from(["nothing", "nothing", "agent dies", "well", "badly", "sandbox dies", "time"]), max_size=60
)


def live_through(world: World, wanted: Pod, happenings: list[str]) -> None:
    for happening in happenings:
        step = decide(wanted, world.observed, world.records, world.now).step
        if step is not None:
            world.apply(step)
        running = world.observed.running
        if happening == "agent dies":
            world.forget()
        elif happening == "sandbox dies":
            world.lose_sandbox()
        elif happening == "time":
            world.now += 400
        elif happening in ("well", "badly") and running:
            world.end(running[0].id, 0 if happening == "well" else 1)


@settings(max_examples=150, deadline=None)
@given(pods(), _happenings)
def test_whatever_happens_between_two_steps_the_pod_reaches_rest(spec: dict[str, Any], happenings: list[str]):
    world = World()
    wanted = pod(*spec["mains"], initContainers=spec["initContainers"], restartPolicy=spec["restartPolicy"])
    live_through(world, wanted, happenings)
    for _ in range(60):
        settle(world, wanted)
        for one in [one for one in world.observed.running if one.name.startswith("init")]:
            if not next(spec for spec in wanted.inits if spec.name == one.name).sidecar:
                world.end(one.id, 0)
        decision = decide(wanted, world.observed, world.records, world.now)
        if decision.step is None and decision.wake_at is None:
            break
        world.now = max(world.now, decision.wake_at or 0)
    assert decide(wanted, world.observed, world.records, world.now).step is None
    final = ending(wanted, world.observed, world.now)
    if final is None:
        running = {one.name for one in world.observed.running}
        for one in wanted.spec.containers:
            latest = world.observed.latest(one.name)
            ended_for_good = latest is not None and latest.finished_at and not restarts(wanted, one, latest.exit_code)
            assert ended_for_good or one.name in running
    else:
        assert world.observed.running == ()


@settings(max_examples=150, deadline=None)
@given(pods(), _happenings, _happenings)
def test_deletion_ends_with_nothing_left_wherever_the_agent_dies(
    spec: dict[str, Any], before: list[str], after: list[str]
):
    world = World()
    parts = {"initContainers": spec["initContainers"], "restartPolicy": spec["restartPolicy"]}
    live_through(world, pod(*spec["mains"], **parts), before)
    deleting = pod(*spec["mains"], meta=DELETING, **parts)
    live_through(world, deleting, [happening for happening in after if happening == "agent dies"])
    settle(world, deleting)
    assert world.deleted
    assert world.observed == Observed()
    assert not world.disk


@settings(max_examples=100, deadline=None)
@given(pods(), _happenings)
def test_at_most_two_containers_of_a_name_and_one_ready_sandbox_exist_at_rest(
    spec: dict[str, Any], happenings: list[str]
):
    world = World()
    wanted = pod(*spec["mains"], initContainers=spec["initContainers"], restartPolicy=spec["restartPolicy"])
    live_through(world, wanted, happenings)
    settle(world, wanted)
    for one in wanted.everything:
        assert len(world.observed.attempts(one.name)) <= 2 or ending(wanted, world.observed, world.now)
    assert len([box for box in world.observed.sandboxes if box.ready]) <= 1


LOOKING = pod(app(), ephemeralContainers=[app("debug", targetContainerName="app")])


def test_an_ephemeral_container_starts_beside_what_runs_and_is_never_started_again():
    world = World(observed=Observed((sandbox(),), (container(),)))
    settle(world, LOOKING)
    assert [one.name for one in world.observed.running] == ["app", "debug"]
    world.end("debug-0", 1)
    settle(world, LOOKING)
    assert [one.name for one in world.observed.running] == ["app"]


def test_an_ephemeral_container_need_not_wait_for_init_containers():
    wanted = pod(app(), initContainers=[app("one")], ephemeralContainers=[app("debug")])
    seen = Observed((sandbox(),), (container("one"),))
    assert decide(wanted, seen, READY, START).step == EnsureImage("debug", 0)


def test_an_ephemeral_container_keeps_no_pod_from_ending():
    wanted = pod(app(), restartPolicy="Never", ephemeralContainers=[app("debug")])
    seen = Observed((sandbox(),), (exited(), container("debug")))
    final = ending(wanted, seen, START)
    assert final is not None
    step = decide(wanted, seen, READY, START).step
    assert isinstance(step, StopContainers)
    assert [kill.container for kill in step.kills] == ["debug"]


@pytest.mark.parametrize(
    ("policy", "rules", "code", "expected"),
    [
        ("Never", [], 1, False),
        ("OnFailure", [], 1, True),
        ("OnFailure", [], 0, False),
        (None, [], 0, True),
        ("Never", [("In", [42])], 42, True),
        ("Never", [("In", [42])], 1, False),
        ("Never", [("NotIn", [42])], 1, True),
    ],
)
def test_a_containers_own_rules_come_before_the_pods_policy(
    policy: str | None, rules: list[tuple[str, list[int]]], code: int, expected: bool
):
    listed = [
        {"action": "Restart", "exitCodes": {"operator": operator, "values": values}} for operator, values in rules
    ]
    wanted = pod(app(restartPolicy=policy, restartPolicyRules=listed))
    assert restarts(wanted, wanted.spec.containers[0], code) is expected


def test_a_pod_whose_containers_are_never_restarted_ends_even_if_its_own_policy_is_always():
    wanted = pod(app(restartPolicy="Never"), restartPolicy="Always")
    final = ending(wanted, Observed((sandbox(),), (exited(code=1),)), START)
    assert final is not None
    assert final.phase == "Failed"


def test_a_container_whose_image_was_changed_is_replaced_whatever_the_policy():
    wanted = pod(app(image="web:2"), restartPolicy="Never")
    step = decide(wanted, Observed((sandbox(),), (container(),)), READY, START).step
    assert isinstance(step, StopContainers)
    assert step.message == "Container {name} definition changed, will be restarted"
    stopped = Observed((sandbox(),), (exited(code=143),))
    assert decide(wanted, stopped, READY, START + 2).step == EnsureImage("app", 1)
    replaced = Observed((sandbox(),), (exited(code=143), container(attempt=1, made_of="web:2")))
    assert decide(wanted, replaced, READY, START + 2).step is None
