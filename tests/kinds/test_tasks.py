from __future__ import annotations

from typing import Any

from motet.kinds import tasks
from motet.store.document import Document, Key, encode

Json = dict[str, Any]


def task(status: Json, *, node: str = "n1", labels: Json | None = None, **metadata: Any) -> tasks.Task:
    meta = {"name": "web-3-x", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", **metadata}
    meta["labels"] = {"motet.dev/app": "web", "motet.dev/slot": "3", "motet.dev/template-hash": "v", **(labels or {})}
    body = {"metadata": meta, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}, "status": status}
    return tasks.task_of(Document(Key("core/pods", "shop", "web-3-x"), encode(body), 1))


def container(state: Json, **more: Any) -> Json:
    return {"containerStatuses": [{"name": "c", "state": state, **more}]}


def test_a_pod_without_a_node_is_pending_and_says_why() -> None:
    refused = {"type": "PodScheduled", "status": "False", "message": "no room"}
    found = task({"phase": "Pending", "conditions": [refused]}, node="")
    assert (found.state, found.desired, found.error, found.slot) == ("pending", "running", "no room", 3)


def test_a_container_that_runs_makes_it_running() -> None:
    running = {"running": {"startedAt": "2026-01-01T00:00:02Z"}}
    found = task({"phase": "Running", **container(running, started=True, containerID="containerd://abc")})
    assert (found.state, found.container_id, found.since) == ("running", "containerd://abc", "2026-01-01T00:00:02Z")
    assert task({"phase": "Running", **container(running, started=False)}).state == "starting"


def test_an_image_that_cannot_be_had_is_its_error() -> None:
    found = task({"phase": "Pending", **container({"waiting": {"reason": "ErrImagePull", "message": "no such image"}})})
    assert (found.state, found.error) == ("preparing", "ErrImagePull: no such image")


def test_one_that_failed_tells_its_code_and_is_not_to_run_again() -> None:
    ended = {"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": "2026-01-01T00:01:00Z"}}
    found = task({"phase": "Failed", **container(ended)})
    assert (found.state, found.desired, found.exit_code, found.error) == (
        "failed",
        "shutdown",
        3,
        "ended with exit code 3",
    )
    assert found.finished_at == found.since == "2026-01-01T00:01:00Z"


def test_one_that_was_stopped_is_shut_down_whatever_its_code() -> None:
    annotations = {tasks.DESIRED: tasks.SHUTDOWN}
    found = task({"phase": "Failed", **container({"terminated": {"exitCode": 143}})}, annotations=annotations)
    assert (found.state, found.desired) == ("shutdown", "shutdown")


def test_a_jobs_task_is_to_complete() -> None:
    found = task({"phase": "Succeeded"}, labels={"motet.dev/iteration": "2"})
    assert (found.state, found.desired, found.iteration) == ("complete", "complete", 2)
