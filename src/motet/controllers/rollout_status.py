"""What a Deployment says of itself: counts and the conditions Available, Progressing and ReplicaFailure.

Types, reasons and messages are upstream's, since `kubectl rollout status`, `kubectl wait` and many scripts read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from motet.base import timestamps
from motet.controllers import podview
from motet.controllers.replicaset import ReplicaSetView
from motet.store.document import Meta

_NO_DEADLINE = 2**31 - 1


class RollingUpdate(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"


class Strategy(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    replicas: int = 1
    selector: dict[str, Any] | None = None
    template: dict[str, Any] = {}
    strategy: Strategy = Strategy()
    min_ready_seconds: int = 0
    revision_history_limit: int | None = 10
    paused: bool = False
    progress_deadline_seconds: int | None = 600


class DeploymentCondition(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str
    status: str = "Unknown"
    last_update_time: str | None = None
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class DeploymentStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    terminating_replicas: int = 0
    collision_count: int | None = None
    conditions: tuple[DeploymentCondition, ...] = ()


class DeploymentView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


def decide(
    deployment: DeploymentView,
    sets: Sequence[ReplicaSetView],
    new: ReplicaSetView | None,
    now: datetime,
    *,
    least_available: int,
    created: str = "",
) -> DeploymentStatus:
    """The status, given all `sets` and the current one among them. `created` names a set being made right now."""
    available = sum(each.status.available_replicas for each in sets)
    counts = DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(each.status.replicas for each in sets),
        updated_replicas=new.status.replicas if new else 0,
        ready_replicas=sum(each.status.ready_replicas for each in sets),
        available_replicas=available,
        unavailable_replicas=max(0, sum(each.spec.replicas for each in sets) - available),
        terminating_replicas=sum(each.status.terminating_replicas for each in sets),
        collision_count=deployment.status.collision_count,
    )
    conditions = {condition.type: condition for condition in deployment.status.conditions}
    _put(conditions, _available(available >= least_available), now)
    _progress(conditions, deployment, counts, new, now, created)
    _failure(conditions, sets, new, now)
    return msgspec.structs.replace(counts, conditions=tuple(conditions.values()))


def complete(deployment: DeploymentView, status: DeploymentStatus) -> bool:
    """Every pod is of the current template and available, and none is left over."""
    wanted = deployment.spec.replicas
    return (
        status.updated_replicas == wanted
        and status.replicas == wanted
        and status.available_replicas == wanted
        and status.observed_generation >= deployment.metadata.generation
    )


def next_look(deployment: DeploymentView, status: DeploymentStatus, now: datetime) -> float | None:
    """Seconds until the progress deadline may have passed; None when nothing is under way."""
    progressing = next((each for each in status.conditions if each.type == "Progressing"), None)
    if _deadline(deployment) is None or progressing is None or deployment.spec.paused:
        return None
    if progressing.status != "True" or progressing.reason == "NewReplicaSetAvailable":
        return None
    return max(0.0, (_deadline(deployment) or 0) - _seconds_since(progressing, now)) + 1.0


def _deadline(deployment: DeploymentView) -> int | None:
    seconds = deployment.spec.progress_deadline_seconds
    return None if seconds is None or seconds >= _NO_DEADLINE else seconds


def _seconds_since(condition: DeploymentCondition, now: datetime) -> float:
    text = condition.last_update_time or condition.last_transition_time
    return (now - podview.instant(text)).total_seconds() if text else 0.0


def _available(enough: bool) -> DeploymentCondition:
    if enough:
        return DeploymentCondition(
            "Available", "True", None, None, "MinimumReplicasAvailable", "Deployment has minimum availability."
        )
    return DeploymentCondition(
        "Available", "False", None, None, "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    )


def _put(
    conditions: dict[str, DeploymentCondition], condition: DeploymentCondition, now: datetime, *, touch: bool = False
) -> None:
    """Set a condition; its times move only when status or reason do, or (update time) when `touch` says it is news."""
    old = conditions.get(condition.type)
    if old and not touch and (old.status, old.reason) == (condition.status, condition.reason):
        return
    stamp = timestamps.format_time(now)
    since = old.last_transition_time if old and old.status == condition.status else stamp
    conditions[condition.type] = msgspec.structs.replace(
        condition, last_update_time=stamp, last_transition_time=since or stamp
    )


def _progressing(status: str, reason: str, message: str) -> DeploymentCondition:
    return DeploymentCondition("Progressing", status, None, None, reason, message)


def _progress(
    conditions: dict[str, DeploymentCondition],
    deployment: DeploymentView,
    counts: DeploymentStatus,
    new: ReplicaSetView | None,
    now: datetime,
    created: str,
) -> None:
    if _deadline(deployment) is None:
        conditions.pop("Progressing", None)
        return
    old = conditions.get("Progressing")
    if deployment.spec.paused:
        if old is None or old.reason != "ProgressDeadlineExceeded":
            _put(conditions, _progressing("Unknown", "DeploymentPaused", "Deployment is paused"), now)
        return
    if old is not None and old.reason == "DeploymentPaused":
        _put(conditions, _progressing("Unknown", "DeploymentResumed", "Deployment is resumed"), now)
        old = conditions["Progressing"]
    if created:
        message = f'Created new replica set "{created}"'
        _put(conditions, _progressing("True", "NewReplicaSetCreated", message), now, touch=True)
        return
    if old is None and new is not None:
        message = f'Found new replica set "{new.metadata.name}"'
        _put(conditions, _progressing("True", "FoundNewReplicaSet", message), now)
        old = conditions["Progressing"]
    who = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
    finished = old is not None and old.reason == "NewReplicaSetAvailable" and counts.replicas == counts.updated_replicas
    if finished:
        return
    if complete(deployment, counts):
        message = f"{who} has successfully progressed."
        _put(conditions, _progressing("True", "NewReplicaSetAvailable", message), now)
    elif _moved(deployment.status, counts):
        message = f"{who} is progressing."
        _put(conditions, _progressing("True", "ReplicaSetUpdated", message), now, touch=True)
    elif old is not None and _timed_out(deployment, old, now):
        message = f"{who} has timed out progressing."
        _put(conditions, _progressing("False", "ProgressDeadlineExceeded", message), now)


def _moved(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    return (
        after.updated_replicas > before.updated_replicas
        or after.replicas - after.updated_replicas < before.replicas - before.updated_replicas
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def _timed_out(deployment: DeploymentView, condition: DeploymentCondition, now: datetime) -> bool:
    if condition.reason == "NewReplicaSetAvailable":
        return False
    if condition.reason == "ProgressDeadlineExceeded":
        return True
    return _seconds_since(condition, now) > (_deadline(deployment) or 0)


def _failure(
    conditions: dict[str, DeploymentCondition],
    sets: Sequence[ReplicaSetView],
    new: ReplicaSetView | None,
    now: datetime,
) -> None:
    """Pass on what keeps a set from making its pods, the current set's trouble first."""
    for each in [*([new] if new else []), *sets]:
        for condition in each.status.conditions:
            if condition.type == "ReplicaFailure" and condition.status == "True":
                text = condition.message
                _put(conditions, DeploymentCondition("ReplicaFailure", "True", None, None, condition.reason, text), now)
                return
    conditions.pop("ReplicaFailure", None)
