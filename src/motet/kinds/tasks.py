"""Tasks: what a pod of an App is to whoever thinks in slots. Names of the marks on such pods, and one view of them.

A slot has at most one pod that is to run, and behind it those that ended (history). All are Pods with the label `motet.dev/app`;
a replicated App's have the slot's number in `motet.dev/slot`, a global App's the node in the annotation `motet.dev/node`. A
pod that was stopped on purpose is kept, where history is kept, by the finalizer `motet.dev/task-history`: it has a
deletionTimestamp and an ended phase. The words for states are Swarm's (moby, api: TaskState).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from motet.store.document import Document, Meta

# Labels: the App's name; a slot's number; the version, which is a hash of what the pod is made of; a job's run.
LABEL = "motet.dev/app"
SLOT_LABEL = "motet.dev/slot"
TEMPLATE_LABEL = "motet.dev/template-hash"
ITERATION_LABEL = "motet.dev/iteration"
# Annotations: a global App's node; what is wanted of the pod, where that is not to run; how many successors came before it in
# its slot, and when the latest of them; a hash of the placement it was made with.
NODE_ANNOTATION = "motet.dev/node"
DESIRED = "motet.dev/desired-state"
RESTARTS = "motet.dev/restarts"
RESTART_TIMES = "motet.dev/restart-times"
PLACEMENT = "motet.dev/placement"
# The host name of a pod, with placeholders that its node fills in.
HOSTNAME = "motet.dev/hostname"
# Keeps a pod that was stopped as history.
FINALIZER = "motet.dev/task-history"
# Which of so many pods of an App on a node it may be (placement.maxReplicasPerNode).
SHARE_LABEL = "motet.dev/node-share"

RUNNING, SHUTDOWN, COMPLETE = "running", "shutdown", "complete"
# Reasons a container waits for that do not go away by waiting a little.
STUCK = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class Waiting(_Struct, frozen=True):
    reason: str = ""
    message: str = ""


class Running(_Struct, frozen=True):
    started_at: str | None = None


class Terminated(_Struct, frozen=True):
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    container_id: str = msgspec.field(default="", name="containerID")


class State(_Struct, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Struct, frozen=True):
    name: str = ""
    restart_count: int = 0
    started: bool | None = None
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    container_id: str = msgspec.field(default="", name="containerID")
    state: State = State()
    last_state: State = State()


class Condition(_Struct, frozen=True):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class _Container(_Struct, frozen=True):
    name: str = ""
    image: str = ""


class _Spec(_Struct, frozen=True):
    node_name: str = ""
    containers: tuple[_Container, ...] = ()


class _Status(_Struct, frozen=True):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: str | None = None
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class _View(_Struct, frozen=True):
    metadata: Meta
    spec: _Spec = _Spec()
    status: _Status = _Status()


@dataclass(frozen=True, slots=True)
class Task:
    """One pod of an App. Times are RFC 3339 text or None; `exit_code` is None until the (first) container has ended.

    `state`: pending (no node), preparing (image, container), starting, running, complete, failed, shutdown (ended
    because it was to), orphaned (its node is lost). `desired`: running, complete (jobs) or shutdown. `slot` is 0 for a pod
    that belongs to a node. `ready` is whether it takes requests. `error` is for people.
    """

    id: str
    name: str
    namespace: str
    app: str
    slot: int
    node: str
    desired: str
    state: str
    ready: bool
    error: str
    image: str
    image_id: str
    container_id: str
    exit_code: int | None
    address: str
    version: str
    iteration: int
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    # When it came into its state, as far as that is known.
    since: str | None


def is_task(pod: Document) -> bool:
    """Whether a Pod belongs to an App."""
    return LABEL in (pod.meta.labels or {})


def task_of(pod: Document) -> Task:
    """A Pod of an App as a task. A pod of several containers is told by its first one."""
    view = pod.view(_View)
    meta, status = view.metadata, view.status
    labels, annotations = meta.labels or {}, meta.annotations or {}
    image = view.spec.containers[0] if view.spec.containers else _Container()
    container = next((each for each in status.container_statuses or () if each.name == image.name), ContainerStatus())
    ended = container.state.terminated
    conditions = {each.type: each for each in status.conditions or ()}
    desired, state = _desired(view), _state(view, container)
    iteration = labels.get(ITERATION_LABEL, "")
    started = ended.started_at if ended else container.state.running.started_at if container.state.running else None
    finished = ended.finished_at if ended else None
    return Task(
        id=meta.uid,
        name=meta.name,
        namespace=meta.namespace,
        app=labels.get(LABEL, ""),
        slot=int(labels.get(SLOT_LABEL, "0")),
        node=view.spec.node_name or annotations.get(NODE_ANNOTATION, ""),
        desired=desired,
        state=state,
        ready="Ready" in conditions and conditions["Ready"].status == "True",
        error=_error(view, container, conditions, state),
        image=image.image,
        image_id=container.image_id,
        container_id=container.container_id or (ended.container_id if ended else ""),
        exit_code=ended.exit_code if ended else None,
        address=status.pod_ip,
        version=labels.get(TEMPLATE_LABEL, ""),
        iteration=int(iteration) if iteration.isdecimal() else 0,
        created_at=meta.creation_timestamp,
        started_at=started,
        finished_at=finished,
        since=finished or started or status.start_time or meta.creation_timestamp,
    )


def _ended(view: _View) -> bool:
    """It ended, or its node has nothing left of it."""
    meta = view.metadata
    gone = meta.deletion_timestamp is not None and not meta.deletion_grace_period_seconds
    return gone or view.status.phase in ("Succeeded", "Failed")


def _desired(view: _View) -> str:
    meta = view.metadata
    if said := (meta.annotations or {}).get(DESIRED):
        return said
    if meta.deletion_timestamp is not None:
        return SHUTDOWN
    if ITERATION_LABEL in (meta.labels or {}):
        return COMPLETE if view.status.phase != "Failed" else SHUTDOWN
    return SHUTDOWN if _ended(view) else RUNNING


def _state(view: _View, container: ContainerStatus) -> str:
    if _ended(view):
        if (view.metadata.annotations or {}).get(DESIRED) == SHUTDOWN or view.metadata.deletion_timestamp is not None:
            return SHUTDOWN
        if view.status.reason == "NodeLost":
            return "orphaned"
        return COMPLETE if view.status.phase == "Succeeded" else "failed"
    if not view.spec.node_name:
        return "pending"
    if container.state.running is not None or (view.status.phase == "Running" and not view.status.container_statuses):
        return RUNNING if container.started is not False else "starting"
    waits = container.state.waiting.reason if container.state.waiting else ""
    # In place: it ended, and begins anew in a moment.
    return "starting" if container.restart_count or waits == "CrashLoopBackOff" else "preparing"


def _error(view: _View, container: ContainerStatus, conditions: dict[str, Any], state: str) -> str:
    status = view.status
    scheduled = conditions.get("PodScheduled")
    if state == "pending":
        return scheduled.message if scheduled is not None and scheduled.status == "False" else ""
    waiting = container.state.waiting
    if waiting is not None and (waiting.reason in STUCK or waiting.reason == "CrashLoopBackOff"):
        return f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason
    if status.reason:
        return f"{status.reason}: {status.message}" if status.message else status.reason
    ended = container.state.terminated
    if ended is not None and (ended.exit_code or ended.reason == "OOMKilled"):
        if ended.reason not in ("", "Error", "Completed"):
            return f"{ended.reason} (exit code {ended.exit_code})"
        return ended.message or f"ended with exit code {ended.exit_code}"
    return ""
