"""What the loops read of a pod, and the handful of questions they all ask of one.

"Active", "ready" and "available" mean what upstream's controllers mean (Kubernetes pod lifecycle; `minReadySeconds` in
the ReplicaSet and Deployment specs).
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import msgspec

from motet.base import timestamps
from motet.store.document import Meta


class Condition(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class ContainerStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    restart_count: int = 0


class PodStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = "Pending"
    reason: str = ""
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    restart_policy: str = "Always"


class PodView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


@lru_cache(maxsize=65536)
def instant(text: str) -> datetime:
    """An RFC 3339 time; a burst of pods shares few distinct ones, so they are remembered."""
    return timestamps.parse_time(text)


def is_finished(pod: PodView) -> bool:
    """It ran to its end and will not run again."""
    return pod.status.phase in ("Succeeded", "Failed")


def has_done_its_work(pod: PodView) -> bool:
    """It ended by itself and is not to run again. What a node evicted or lost (there is a reason then) has not."""
    if pod.metadata.deletion_timestamp is not None or pod.status.reason:
        return False
    return pod.status.phase == "Succeeded" or (pod.status.phase == "Failed" and pod.spec.restart_policy == "Never")


def is_active(pod: PodView) -> bool:
    """It counts towards the number wanted: neither finished nor on its way out."""
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in ("Succeeded", "Failed")


def ready_condition(pod: PodView) -> Condition | None:
    for condition in pod.status.conditions or ():
        if condition.type == "Ready":
            return condition
    return None


def is_ready(pod: PodView) -> bool:
    condition = ready_condition(pod)
    return condition is not None and condition.status == "True"


def ready_since(pod: PodView) -> datetime | None:
    """When the pod last became ready; None when it is not ready."""
    condition = ready_condition(pod)
    if condition is None or condition.status != "True" or condition.last_transition_time is None:
        return None
    return instant(condition.last_transition_time)


def available_in(pod: PodView, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until the pod counts as available: 0 or less when it does already, None when it is not even ready."""
    if not is_ready(pod):
        return None
    if not min_ready_seconds:
        return 0.0
    since = ready_since(pod)
    return None if since is None else min_ready_seconds - (now - since).total_seconds()


def restarts(pod: PodView) -> int:
    """The restart count of the container that restarted most."""
    return max((status.restart_count for status in pod.status.container_statuses or ()), default=0)
