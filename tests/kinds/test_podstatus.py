"""The words of `kubectl get pods`, against upstream's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds.podstatus import summarize

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)


def ran(name: str = "c", **fields: Any) -> Json:
    return {"name": name, "ready": True, "restartCount": 0, "state": {"running": {}}, **fields}


def waits(reason: str, **fields: Any) -> Json:
    return ran(ready=False, state={"waiting": {"reason": reason}}, **fields)


def ended(code: int = 0, reason: str = "Completed", **fields: Any) -> Json:
    return ran(ready=False, state={"terminated": {"exitCode": code, "reason": reason, **fields}})


def pod(*containers: Json, inits: tuple[Json, ...] = (), **fields: Any) -> Json:
    status = {"phase": "Running", "containerStatuses": list(containers), "initContainerStatuses": list(inits)}
    spec = {
        "containers": [{"name": "c"}] * max(1, len(containers)),
        "initContainers": [{"name": item["name"]} for item in inits],
    }
    return {
        "metadata": fields.pop("metadata", {}),
        "spec": {**spec, **fields.pop("spec", {})},
        "status": {**status, **fields},
    }


READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("document", "status", "ready"),
    [
        (pod(phase="Pending"), "Pending", "0/1"),
        (pod(ran()), "Running", "1/1"),
        (pod(waits("ContainerCreating"), phase="Pending"), "ContainerCreating", "0/1"),
        (pod(waits("CrashLoopBackOff")), "CrashLoopBackOff", "0/1"),
        (pod(ran(), waits("ImagePullBackOff")), "ImagePullBackOff", "1/2"),
        (pod(ended(), phase="Succeeded"), "Completed", "0/1"),
        (pod(ended(1, "Error"), phase="Failed"), "Error", "0/1"),
        (pod(ended(3, ""), phase="Failed"), "ExitCode:3", "0/1"),
        (pod(ended(137, "", signal=9), phase="Failed"), "Signal:9", "0/1"),
        (pod(ran(), ended(), conditions=READY), "Running", "1/2"),
        (pod(ran(), ended()), "NotReady", "1/2"),
        (pod(phase="Failed", reason="Evicted"), "Evicted", "0/1"),
        (pod(ran(), metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "Terminating", "1/1"),
        (
            pod(ended(), phase="Succeeded", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
            "Completed",
            "0/1",
        ),
        (pod(ran(), reason="NodeLost", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "Unknown", "1/1"),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
            "SchedulingGated",
            "0/1",
        ),
        (pod(waits("PodInitializing"), inits=(waits("PodInitializing", name="i"),)), "Init:0/1", "0/1"),
        (pod(waits("PodInitializing"), inits=(waits("CrashLoopBackOff", name="i"),)), "Init:CrashLoopBackOff", "0/1"),
        (pod(waits("PodInitializing"), inits=(ended(1, "Error"),)), "Init:Error", "0/1"),
        (pod(waits("PodInitializing"), inits=(ended(2, ""),)), "Init:ExitCode:2", "0/1"),
        (pod(waits("PodInitializing"), inits=(ended(), ran("j"))), "Init:1/2", "0/1"),
        (pod(ran(), inits=(ended(),)), "Running", "1/1"),
    ],
)
def test_a_pod_in_one_word(document: Json, status: str, ready: str) -> None:
    summary = summarize(document)
    assert (summary.status, f"{summary.ready}/{summary.total}") == (status, ready)


def test_a_sidecar_counts_among_the_containers() -> None:
    document = pod(ran(), inits=(ran("s", started=True),))
    document["spec"]["initContainers"] = [{"name": "s", "restartPolicy": "Always"}]
    summary = summarize(document)
    assert (summary.status, summary.ready, summary.total) == ("Running", 2, 2)


def test_restarts_say_when_the_last_one_was() -> None:
    last = {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}
    document = pod(ran(restartCount=2, lastState=last), ran(restartCount=1))
    assert summarize(document).restarts_text(NOW) == "3 (5m ago)"


def test_restarts_of_finished_init_containers_do_not_count() -> None:
    assert summarize(pod(ran(), inits=(ended() | {"restartCount": 4},))).restarts_text(NOW) == "0"


def test_restarts_of_init_containers_count_while_they_run() -> None:
    document = pod(waits("PodInitializing"), inits=(waits("CrashLoopBackOff", name="i", restartCount=4),))
    assert summarize(document).restarts == 4
