"""The questions that the loop of Apps asks of one of its pods: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from motet.controllers import podview
from motet.controllers.appview import TaskContainer, TaskPod
from motet.controllers.podview import instant
from motet.kinds import tasks
from motet.kinds.tasks import NODE_ANNOTATION, SLOT_LABEL, STUCK, TEMPLATE_LABEL

# What node health writes as the reason why a pod is not ready.
NODE_NOT_READY = "NodeNotReady"
# Ends of a pod's own making, though they have a reason.
_OWN_REASONS = frozenset({"", "DeadlineExceeded"})


def slot_of(pod: TaskPod) -> str:
    """The slot a pod fills; empty when it says none."""
    meta = pod.metadata
    return (meta.annotations or {}).get(NODE_ANNOTATION) or (meta.labels or {}).get(SLOT_LABEL, "")


def version_of(pod: TaskPod) -> str:
    return (pod.metadata.labels or {}).get(TEMPLATE_LABEL, "")


def iteration_of(pod: TaskPod) -> str:
    """The run of a job that it belongs to, as its label has it."""
    return (pod.metadata.labels or {}).get(tasks.ITERATION_LABEL, "")


def is_marked(pod: TaskPod) -> bool:
    """Somebody decided that it is to stop and to be kept."""
    return (pod.metadata.annotations or {}).get(tasks.DESIRED) == tasks.SHUTDOWN


def is_held(pod: TaskPod) -> bool:
    """It stays after its end until it is let go."""
    return tasks.FINALIZER in (pod.metadata.finalizers or ())


def is_over(pod: TaskPod) -> bool:
    """Nothing of it runs any more: it ended, or its node has nothing left of it."""
    meta = pod.metadata
    return podview.is_finished(pod) or (meta.deletion_timestamp is not None and not meta.deletion_grace_period_seconds)


def is_active(pod: TaskPod) -> bool:
    """It runs or is going to, and nobody wants it to stop."""
    return pod.metadata.deletion_timestamp is None and not is_marked(pod) and not podview.is_finished(pod)


def is_abandoned(pod: TaskPod) -> bool:
    """Its node is silent, so nobody can say when it ends: waiting for that could take for ever."""
    condition = podview.ready_condition(pod)
    return condition is not None and condition.reason == NODE_NOT_READY


def ended_by_itself(pod: TaskPod) -> bool:
    """It ended without anybody having stopped, evicted or lost it."""
    if is_marked(pod) or pod.metadata.deletion_timestamp is not None or pod.status.reason not in _OWN_REASONS:
        return False
    return podview.is_finished(pod)


def ended_well(pod: TaskPod) -> bool:
    return pod.status.phase == "Succeeded" and ended_by_itself(pod)


def created_at(pod: TaskPod) -> datetime | None:
    stamp = pod.metadata.creation_timestamp
    return instant(stamp) if stamp else None


def ended_at(pod: TaskPod, now: datetime) -> datetime:
    """When the last of its containers ended; as well as can be told where no container says so."""
    ends = [
        instant(each.state.terminated.finished_at)
        for each in pod.status.container_statuses or ()
        if each.state.terminated is not None and each.state.terminated.finished_at
    ]
    if ends:
        return max(ends)
    condition = podview.ready_condition(pod)
    if condition is not None and condition.last_transition_time:
        return instant(condition.last_transition_time)
    return created_at(pod) or now


def is_stuck(pod: TaskPod) -> bool:
    """Some container cannot be made."""
    return any(
        each.state.waiting is not None and each.state.waiting.reason in STUCK
        for each in pod.status.container_statuses or ()
    )


def failed_at(pod: TaskPod, watched: float, now: datetime, *, ends_are_failures: bool = True) -> datetime | None:
    """When the pod failed within `watched` seconds of its start; None when it did not.

    A container that ended that soon has failed, whatever its exit code where `ends_are_failures`; so has one that cannot
    be made for that long.
    """
    if is_stuck(pod) and is_active(pod):
        since = created_at(pod) or now
        known = since + timedelta(seconds=watched)
        return known if known <= now else None
    for container in pod.status.container_statuses or ():
        for started, finished, code in _lives(container):
            if code == 0 and not ends_are_failures:
                continue
            if not _cut_short(pod) and (finished - started).total_seconds() <= watched:
                return finished
    if ended_by_itself(pod) and not pod.status.container_statuses and pod.status.phase == "Failed":
        return ended_at(pod, now)  # nothing of it ever started
    return None


def _cut_short(pod: TaskPod) -> bool:
    """Somebody else ended it, or is about to."""
    return not (ended_by_itself(pod) or is_active(pod))


def _lives(container: TaskContainer) -> Iterator[tuple[datetime, datetime, int]]:
    for state in (container.last_state, container.state):
        ended = state.terminated
        if ended is not None and ended.finished_at:
            finished = instant(ended.finished_at)
            yield instant(ended.started_at) if ended.started_at else finished, finished, ended.exit_code


def best(pods: Sequence[TaskPod]) -> list[TaskPod]:
    """The one to keep of several: ready before not, old before young."""
    return sorted(
        pods, key=lambda pod: (not podview.is_ready(pod), pod.metadata.creation_timestamp or "", pod.metadata.uid)
    )[:1]


def newest_first(pods: Sequence[TaskPod], now: datetime) -> list[TaskPod]:
    return sorted(
        pods,
        key=lambda pod: (pod.metadata.creation_timestamp or "", ended_at(pod, now), pod.metadata.uid),
        reverse=True,
    )
