"""What a HorizontalPodAutoscaler does next, as a function of what was measured and of what happened lately.

The largest size any metric asks for wins. A metric that cannot be read holds shrinking back but not growing, unless none can be
read, when nothing happens. Order, conditions and words are those of Kubernetes' autoscaler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from motet.base import timestamps
from motet.client.events import NORMAL, WARNING
from motet.controllers import scalingrules
from motet.controllers.scalingrules import Behavior, Bounds, Change, Recommendation
from motet.store.document import Meta


class Reference(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    kind: str = ""
    name: str = ""
    api_version: str = ""


class AutoscalerSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    scale_target_ref: Reference = Reference()
    min_replicas: int = 1
    max_replicas: int = 1
    metrics: tuple[dict[str, Any], ...] = ()
    behavior: Behavior | None = None


class ScalingCondition(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str
    status: str = "Unknown"
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class AutoscalerStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    observed_generation: int | None = None
    last_scale_time: str | None = None
    current_replicas: int = 0
    desired_replicas: int = 0
    current_metrics: tuple[dict[str, Any], ...] | None = None
    conditions: tuple[ScalingCondition, ...] = ()


class AutoscalerView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = AutoscalerStatus()

    def behavior(self) -> Behavior:
        return self.spec.behavior or Behavior()


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one metric: a size under its name, with the status to show; or why there is none."""

    name: str = ""
    replicas: int = 0
    status: dict[str, Any] | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What has to be remembered from one look to the next."""

    recommendations: tuple[Recommendation, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An event about the autoscaler."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Write `replicas` to the target's scale unless it is None, then the status. `why` is the reason for events."""

    status: AutoscalerStatus
    memory: Memory
    replicas: int | None = None
    why: str = ""
    events: tuple[Told, ...] = ()


def decide(view: AutoscalerView, current: int, measured: Sequence[Measured], memory: Memory, now: datetime) -> Plan:
    """The next size of a target that has `current` pods."""
    return _Step(view, current, memory, now).plan(measured)


def unscalable(
    view: AutoscalerView, reason: str, message: str, now: datetime, type: str = "AbleToScale"
) -> AutoscalerStatus:
    """The status when the target cannot even be looked at."""
    conditions = _with(view.status.conditions, type, "False", reason, message, now)
    return msgspec.structs.replace(view.status, conditions=conditions)


def rescaled(status: AutoscalerStatus, replicas: int, now: datetime, failure: str = "") -> AutoscalerStatus:
    """The status after the new size was written, or was refused for the reason in `failure`."""
    if failure:
        message = f"the HPA controller was unable to update the target scale: {failure}"
        conditions = _with(status.conditions, "AbleToScale", "False", "FailedUpdateScale", message, now)
        return msgspec.structs.replace(status, conditions=conditions)
    message = f"the HPA controller was able to update the target scale to {replicas}"
    conditions = _with(status.conditions, "AbleToScale", "True", "SucceededRescale", message, now)
    stamp = timestamps.format_time(now)
    return msgspec.structs.replace(status, conditions=conditions, desired_replicas=replicas, last_scale_time=stamp)


def _with(
    conditions: Sequence[ScalingCondition], type: str, status: str, reason: str, message: str, now: datetime
) -> tuple[ScalingCondition, ...]:
    """A condition set; its time moves only when its status does."""
    found = list(conditions)
    at = next((index for index, each in enumerate(found) if each.type == type), None)
    since = timestamps.format_time(now)
    if at is not None and found[at].status == status:
        since = found[at].last_transition_time or since
    new = ScalingCondition(type, status, since, reason, message)
    if at is None:
        return (*found, new)
    found[at] = new
    return tuple(found)


class _Step:
    """One decision being made."""

    def __init__(self, view: AutoscalerView, current: int, memory: Memory, now: datetime) -> None:
        self._view = view
        self._current = current
        self._now = now
        self._bounds = Bounds(view.spec.min_replicas, view.spec.max_replicas)
        self._behavior = view.behavior()
        oldest = now - timedelta(seconds=scalingrules.longest_memory(self._behavior))
        # A controller that remembers nothing takes what it finds for what was wanted.
        known = memory.recommendations or (Recommendation(now, current),)
        self._recommendations = tuple(each for each in known if each.at > oldest)
        self._changes = tuple(each for each in memory.changes if each.at > oldest)
        self._conditions = view.status.conditions
        self._metrics = view.status.current_metrics
        self._events: list[Told] = []

    def plan(self, measured: Sequence[Measured]) -> Plan:
        message = "the HPA controller was able to get the target's current scale"
        self._set("AbleToScale", "True", "SucceededGetScale", message)
        desired, why = self._outside()
        if not why:
            desired, why = self._by_metrics(measured)
        changed = desired != self._current
        if changed:
            self._changes = (*self._changes, Change(self._now, desired - self._current))
        status = AutoscalerStatus(
            self._view.metadata.generation or None,
            self._view.status.last_scale_time,
            self._current,
            self._current if changed else desired,
            self._metrics,
            self._conditions,
        )
        memory = Memory(self._recommendations, self._changes)
        return Plan(status, memory, desired if changed else None, why, tuple(self._events))

    def _set(self, type: str, status: str, reason: str, message: str) -> None:
        self._conditions = _with(self._conditions, type, status, reason, message, self._now)

    def _outside(self) -> tuple[int, str]:
        """A size that is wrong whatever is measured."""
        if self._current == 0 and self._bounds.least != 0:
            message = "scaling is disabled since the replica count of the target is zero"
            self._set("ScalingActive", "False", "ScalingDisabled", message)
            return 0, message
        if self._current > self._bounds.most:
            return self._bounds.most, "Current number of replicas above Spec.MaxReplicas"
        if self._current < self._bounds.least:
            return self._bounds.least, "Current number of replicas below Spec.MinReplicas"
        return self._current, ""

    def _by_metrics(self, measured: Sequence[Measured]) -> tuple[int, str]:
        fine = [each for each in measured if not each.reason]
        failed = [each for each in measured if each.reason]
        for each in failed:
            self._events.append(Told(WARNING, each.reason, each.message))
        best = max(fine, key=lambda each: each.replicas, default=None)
        if best is None or (failed and best.replicas < self._current):
            self._give_up(failed, len(measured))
            return self._current, ""
        self._metrics = tuple(each.status or {} for each in measured)
        message = f"the HPA was able to successfully calculate a replica count from {best.name}"
        self._set("ScalingActive", "True", "ValidMetricFound", message)
        why = f"{best.name} above target" if best.replicas > self._current else "All metrics below target"
        return self._allowed(best.replicas), why

    def _give_up(self, failed: Sequence[Measured], total: int) -> None:
        first = failed[0] if failed else Measured(reason="FailedGetResourceMetric", message="no metrics")
        self._set("ScalingActive", "False", first.reason, first.message)
        message = f"invalid metrics ({len(failed)} invalid out of {total}), first error is: {first.message}"
        self._events.append(Told(WARNING, "FailedComputeMetricsReplicas", message))

    def _allowed(self, wanted: int) -> int:
        """The size that the rules let through of the one that the metrics ask for."""
        calm = scalingrules.stabilize(self._current, wanted, self._behavior, self._recommendations, self._now)
        self._recommendations = (*self._recommendations, Recommendation(self._now, wanted))
        self._set("AbleToScale", "True", calm.reason, calm.message)
        found = scalingrules.limit(self._current, calm.replicas, self._bounds, self._behavior, self._changes, self._now)
        self._set("ScalingLimited", str(found.replicas != calm.replicas), found.reason, found.message)
        return found.replicas


def told(plan: Plan, failure: str = "") -> Told:
    """The event about a new size that was written, or refused for the reason in `failure`."""
    if failure:
        return Told(WARNING, "FailedRescale", f"New size: {plan.replicas}; reason: {plan.why}; error: {failure}")
    return Told(NORMAL, "SuccessfulRescale", f"New size: {plan.replicas}; reason: {plan.why}")
