from __future__ import annotations

from typing import Any

from motet.pods.model import SANDBOX, Failure, Health, Observed, Records
from motet.pods.publish import difference
from motet.pods.spec import Pod
from motet.pods.status import Host, compute
from motet.runtime.interface import ContainerState
from support.pods import START, app, container, exited, pod, sandbox

HOST = Host(("192.168.0.9",))
WELL = Records(prepared=True, health={"app-0": Health(started=True, ready=True)})


def status(wanted: Pod, seen: Observed = Observed(), records: Records = WELL, now: float = START + 5) -> dict[str, Any]:
    return compute(wanted, seen, records, now, HOST)


def conditions(found: dict[str, Any]) -> dict[str, str]:
    return {item["type"]: item["status"] for item in found["conditions"]}


def test_a_pod_not_begun_is_pending_and_creating():
    found = status(pod())
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(found) == {
        "PodReadyToStartContainers": "False", "Initialized": "True", "Ready": "False", "ContainersReady": "False", "PodScheduled": "True",
    }  # fmt: skip


def test_a_running_ready_pod_says_where_it_is():
    found = status(pod(), Observed((sandbox(),), (container(),)))
    assert (found["phase"], found["podIP"], found["hostIP"]) == ("Running", "10.42.0.5", "192.168.0.9")
    assert set(conditions(found).values()) == {"True"}
    one = found["containerStatuses"][0]
    assert one["containerID"] == "containerd://app-0"
    assert one["state"] == {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    assert one["started"]


def test_a_container_that_is_not_ready_is_named():
    found = status(pod(), Observed((sandbox(),), (container(),)), Records())
    ready = next(item for item in found["conditions"] if item["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [app]")


def test_a_crash_shows_the_back_off_and_the_last_end():
    seen = Observed((sandbox(),), (exited(code=3, attempt=2, backoff=20, ended=START + 4),))
    one = status(pod(), seen)["containerStatuses"][0]
    assert one["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert one["state"]["waiting"]["message"].startswith(
        "back-off 20s restarting failed container=app pod=web_default("
    )
    assert one["lastState"]["terminated"]["exitCode"] == 3
    assert one["restartCount"] == 2


def test_a_crash_before_any_back_off_shows_its_end():
    one = status(pod(), Observed((sandbox(),), (exited(code=3),)))["containerStatuses"][0]
    assert one["state"]["terminated"]["reason"] == "Error"


def test_a_pull_that_failed_is_first_an_error_and_then_a_back_off():
    records = Records(failures={"app": Failure("ErrImagePull", "no such image", START, 10)})
    seen = Observed((sandbox(),))
    shown = [
        status(pod(), seen, records, START + after)["containerStatuses"][0]["state"]["waiting"]["reason"]
        for after in (1, 5)
    ]
    assert shown == ["ErrImagePull", "ImagePullBackOff"]


def test_out_of_memory_counts_only_when_it_ended_the_container():
    seen = [exited(code=137, reason="OOMKilled"), exited(code=0, reason="OOMKilled")]
    shown = [status(pod(restartPolicy="Never"), Observed((sandbox(),), (one,)))["containerStatuses"][0] for one in seen]
    assert [one["state"]["terminated"]["reason"] for one in shown] == ["OOMKilled", "Completed"]


def test_init_containers_hold_the_phase_at_pending():
    wanted = pod(app(), initContainers=[app("one"), app("two")])
    found = status(wanted, Observed((sandbox(),), (exited("one"), container("two"))))
    assert found["phase"] == "Pending"
    initialized = next(item for item in found["conditions"] if item["type"] == "Initialized")
    assert initialized["message"] == "containers with incomplete status: [two]"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert [one["ready"] for one in found["initContainerStatuses"]] == [True, False]


def test_a_finished_pod_says_so_and_is_not_ready():
    found = status(pod(restartPolicy="Never"), Observed((sandbox(ready=False),), (exited(),)))
    assert found["phase"] == "Succeeded"
    ready = next(item for item in found["conditions"] if item["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_the_phase_is_final_only_when_nothing_runs_any_more():
    late = pod(activeDeadlineSeconds=1, status={"startTime": "2026-01-01T00:00:00Z"})
    assert status(late, Observed((sandbox(),), (container(),)))["phase"] == "Running"
    ended = status(late, Observed((sandbox(),), (exited(code=137),)))
    assert (ended["phase"], ended["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_transition_time_stays_until_the_condition_changes():
    before = [{"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"}]
    found = status(pod(status={"conditions": before}), Observed((sandbox(),), (container(),)))
    times = {item["type"]: item["lastTransitionTime"] for item in found["conditions"]}
    assert times["Ready"] == "2025-01-01T00:00:00Z"
    assert times["ContainersReady"] == "2026-01-01T00:00:05Z"


def test_a_readiness_gate_holds_ready_back_but_not_the_containers():
    gated = pod(readinessGates=[{"conditionType": "example.com/lb"}])
    found = conditions(status(gated, Observed((sandbox(),), (container(),))))
    assert (found["Ready"], found["ContainersReady"]) == ("False", "True")


def test_what_blocks_the_sandbox_is_in_the_message():
    records = Records(failures={SANDBOX: Failure("FailedCreatePodSandBox", "no addresses left", START, 10)})
    assert status(pod(), Observed(), records)["containerStatuses"][0]["state"]["waiting"] == {
        "reason": "ContainerCreating", "message": "no addresses left",
    }  # fmt: skip


def test_a_made_but_unstarted_container_is_still_pending():
    seen = Observed((sandbox(),), (container(state=ContainerState.CREATED),))
    assert status(pod(), seen)["phase"] == "Pending"


def test_a_host_network_pod_has_the_hosts_address():
    assert status(pod(hostNetwork=True), Observed((sandbox(ips=()),), (container(),)))["podIP"] == "192.168.0.9"


def test_only_differences_are_written_and_the_conditions_of_others_stay():
    known = {
        "phase": "Pending",
        "podIP": "1.2.3.4",
        "conditions": [{"type": "Ready", "status": "False"}],
        "message": "x",
    }
    wanted = {
        "phase": "Pending",
        "podIP": "1.2.3.4",
        "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}],
    }
    foreign = [{"type": "DisruptionTarget", "status": "True"}]
    assert difference(known, wanted, foreign) == {"message": None, "conditions": [*foreign, *wanted["conditions"]]}


def test_ephemeral_containers_have_statuses_of_their_own_and_no_say_in_readiness():
    wanted = pod(app(), ephemeralContainers=[app("debug")])
    found = status(wanted, Observed((sandbox(),), (container(), exited("debug", 3))))
    assert [item["name"] for item in found["containerStatuses"]] == ["app"]
    [one] = found["ephemeralContainerStatuses"]
    assert (one["ready"], one["state"]["terminated"]["exitCode"]) == (False, 3)
    assert conditions(found)["Ready"] == "True"


def test_the_generation_that_was_looked_at_is_told():
    found = status(pod(meta={"generation": 3}))
    assert found["observedGeneration"] == 3
    assert {item["observedGeneration"] for item in found["conditions"]} == {3}


def test_a_restart_counts_once_the_container_runs_and_not_when_it_was_made():
    made = container(state=ContainerState.CREATED, attempt=1)
    [one] = status(pod(), Observed((sandbox(),), (exited(code=1), made)))["containerStatuses"]
    assert (one["restartCount"], one["state"]["terminated"]["exitCode"]) == (0, 1)
    running = Records(prepared=True, health={"app-1": Health(started=True, ready=True)})
    found = status(pod(), Observed((sandbox(),), (exited(code=1), container(attempt=1))), running)
    assert (found["containerStatuses"][0]["restartCount"], found["containerStatuses"][0]["ready"]) == (1, True)
