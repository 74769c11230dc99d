"""Apps and their pods for decisions, with good defaults."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.controllers import builders
from tests.controllers.builders import NOW, ago, view

from motet.controllers.apps import Plan, Scene, Want, decide
from motet.controllers.appview import AppView, TaskPod
from motet.kinds import tasks


def task(
    slot: int | str,
    version: str = "new",
    *,
    ended: float | None = None,
    code: int = 0,
    lived: float = 1,
    restarts: int = 0,
    times: str = "",
    marked: bool = False,
    reason: str = "",
    stuck: str = "",
    in_place: int = 0,
    iteration: int = 0,
    policy: str = "Never",
    **options: Any,
) -> TaskPod:
    """A pod in a slot. `ended` seconds ago, after it had `lived` for so many, with an exit code."""
    labels = {tasks.SLOT_LABEL: str(slot), tasks.TEMPLATE_LABEL: version}
    if iteration:
        labels[tasks.ITERATION_LABEL] = str(iteration)
    if ended is not None:
        options = {"phase": "Failed" if code else "Succeeded", "ready": None, **options}
    body = builders.pod(labels=labels, restarts=in_place, **options)
    body["spec"]["restartPolicy"] = policy
    body["metadata"]["annotations"] = {
        key: value
        for key, value in (
            (tasks.RESTARTS, str(restarts) if restarts else ""),
            (tasks.RESTART_TIMES, times),
            (tasks.DESIRED, tasks.SHUTDOWN if marked else ""),
        )
        if value
    }
    if marked:
        body["metadata"]["finalizers"] = [tasks.FINALIZER]
    if body["metadata"].get("deletionTimestamp") and body["status"]["phase"] not in ("Failed", "Succeeded"):
        body["metadata"]["deletionGracePeriodSeconds"] = 30
    (container,) = body["status"]["containerStatuses"]
    if ended is not None:
        over = {"exitCode": code, "startedAt": ago(ended + lived), "finishedAt": ago(ended)}
        container["state"] = {"terminated": over}
    if stuck:
        container["state"] = {"waiting": {"reason": stuck}}
    if reason:
        body["status"]["reason"] = reason
    return view(TaskPod, body)


def an_app(mode: dict[str, Any] | None = None, *, status: Any = None, annotations: Any = None, **spec: Any) -> AppView:
    metadata = {"name": "web", "uid": "u", "generation": 1, "annotations": annotations or {}}
    body = {"metadata": metadata, "spec": {"mode": mode or {"replicated": {"replicas": 1}}, **spec}}
    if status is not None:
        body["status"] = status
    return view(AppView, body)


def scene(count: int, *pods: TaskPod, app: AppView | None = None, **options: Any) -> Scene:
    slots = {str(number): Want.RUN for number in range(1, count + 1)}
    return Scene(app or an_app(), "new", slots, pods, NOW, **options)


def plan(
    count: int, *pods: TaskPod, status: Any = None, annotations: Any = None, options: Any = None, **spec: Any
) -> Plan:
    return decide(scene(count, *pods, app=an_app(status=status, annotations=annotations, **spec), **(options or {})))


def acts(found: Plan) -> tuple[list[str], list[TaskPod], list[TaskPod]]:
    """Slots to start in, pods to stop, pods to delete."""
    return [each.slot for each in found.create], list(found.stop), list(found.delete)


def updating(state: str = "updating", since: float = 200, **more: Any) -> dict[str, Any]:
    """A status with an update to `new` that goes on."""
    return {"update": {"state": state, "version": "new", "startedAt": ago(since), **more}}


def struct(found: Any) -> dict[str, Any]:
    return dict(msgspec.to_builtins(found))
