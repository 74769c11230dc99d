"""How many pods a metric asks for: usage over what it should be, with care for pods that say nothing or are not ready yet.

The arithmetic is that of Kubernetes' autoscaler (whole percents, thousandths of a core or of a byte), its cautions included: pods
without metrics count as busy when there would be fewer pods and as idle when there would be more; pods that are not ready
count as idle when there would be more; and nothing changes when all that would turn the direction around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import msgspec

from motet.base import quantity
from motet.controllers import podview
from motet.controllers.podview import PodView
from motet.store.document import Meta

# For so long after its start a pod's processor usage says little.
_WARM_UP = timedelta(minutes=5)
_FIRST_READY = timedelta(seconds=30)


class NoMetrics(Exception):
    """There is nothing to compute from; the message says why."""


class Resources(msgspec.Struct, gc=False, frozen=True):
    requests: dict[str, str | int | float] | None = None


class ContainerView(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    resources: Resources = Resources()


class ScaledPodSpec(msgspec.Struct, gc=False, frozen=True):
    containers: tuple[ContainerView, ...] = ()


class ScaledPodStatus(podview.PodStatus, gc=False, frozen=True, rename="camel"):
    start_time: str | None = None


class ScaledPod(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: ScaledPodSpec = ScaledPodSpec()
    status: ScaledPodStatus = ScaledPodStatus()

    def request(self, resource: str, container: str) -> int:
        """Thousandths of what its containers (or one of them) ask for. Raises NoMetrics when one asks for nothing."""
        total = 0
        for each in self.spec.containers:
            if container in ("", each.name):
                amount = (each.resources.requests or {}).get(resource)
                if amount is None:
                    where = f"container {each.name} of Pod {self.metadata.name}"
                    raise NoMetrics(f"missing request for {resource} in {where}")
                total += quantity.millis(amount)
        return total


@dataclass(frozen=True, slots=True)
class Sample:
    """What a pod used: thousandths, over `window` seconds that ended at `at`."""

    value: int
    at: datetime
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class Goal:
    """What every pod should be at: a percentage of its request, or a value in thousandths; one of them."""

    utilization: int | None = None
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Tolerances:
    up: float = 0.1
    down: float = 0.1

    def allow(self, ratio: float) -> bool:
        """The measurement is near enough to its goal."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    """A size, and what was measured: percent of the requests if the goal is one, and the average in thousandths."""

    replicas: int
    utilization: int | None
    average: int


@dataclass(frozen=True, slots=True)
class _Groups:
    ready: int
    unready: tuple[str, ...]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]


def propose(
    current: int,
    pods: Sequence[ScaledPod],
    samples: Mapping[str, Sample],
    goal: Goal,
    resource: str,
    now: datetime,
    *,
    container: str = "",
    tolerances: Tolerances = Tolerances(),
) -> Proposal:
    """How many pods there should be. `samples` are by pod name. Raises NoMetrics."""
    if not pods:
        raise NoMetrics("no pods returned by selector while calculating replica count")
    groups = _grouped(pods, samples, resource, now)
    left_out = {*groups.unready, *groups.ignored}
    values = {name: sample.value for name, sample in samples.items() if name not in left_out}
    values = {pod.metadata.name: values[pod.metadata.name] for pod in pods if pod.metadata.name in values}
    if not values:
        raise NoMetrics("did not receive metrics for targeted pods (pods might be unready)")
    requests = {}
    if goal.utilization is not None:
        requests = {pod.metadata.name: pod.request(resource, container) for pod in pods}
    ratio, utilization, average = _measure(values, requests, goal)

    def answer(replicas: int) -> Proposal:
        return Proposal(replicas, utilization, average)

    growing_unready = bool(groups.unready) and ratio > 1.0
    if not growing_unready and not groups.missing:
        return answer(current if tolerances.allow(ratio) else ceil(ratio * groups.ready))
    for name in groups.missing:
        if ratio < 1.0:
            values[name] = _busy(name, requests, goal)
        elif ratio > 1.0:
            values[name] = 0
    if growing_unready:
        values.update(dict.fromkeys(groups.unready, 0))
    again, _, _ = _measure(values, requests, goal)
    if tolerances.allow(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return answer(current)
    replicas = ceil(again * len(values))
    backwards = (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current)
    return answer(current if backwards else replicas)


def by_whole(current: int, ready: int, total: int, goal: int, tolerances: Tolerances) -> int:
    """How many pods one value asks for that is theirs together (thousandths, as its goal). `ready` of `current` take part."""
    ratio = total / (goal or 1)
    if current == 0:
        return ceil(ratio)
    return current if tolerances.allow(ratio) else ceil(ratio * ready)


def by_share(current: int, total: int, goal: int, tolerances: Tolerances) -> Proposal:
    """How many pods a value asks for that is divided among them, each to have `goal` of it (thousandths)."""
    share = ceil(total / max(1, current))
    fine = current > 0 and tolerances.allow(total / ((goal or 1) * current))
    return Proposal(current if fine else ceil(total / (goal or 1)), None, share)


def _busy(name: str, requests: Mapping[str, int], goal: Goal) -> int:
    """What a silent pod is taken to use when there would be fewer pods."""
    if goal.utilization is None:
        return goal.value or 0
    return requests[name] * max(100, goal.utilization) // 100


def _measure(values: Mapping[str, int], requests: Mapping[str, int], goal: Goal) -> tuple[float, int | None, int]:
    """(usage over goal, percent of the requests, average)."""
    total = sum(values.values())
    average = total // len(values)
    if goal.utilization is None:
        return average / (goal.value or 1), None, average
    asked = sum(requests[name] for name in values)
    if asked == 0:
        raise NoMetrics("no metrics returned matched known pods")
    utilization = total * 100 // asked
    return utilization / goal.utilization, utilization, average


def _grouped(pods: Sequence[ScaledPod], samples: Mapping[str, Sample], resource: str, now: datetime) -> _Groups:
    ready = 0
    unready, missing, ignored = [], [], []
    for pod in pods:
        name = pod.metadata.name
        sample = samples.get(name)
        if pod.metadata.deletion_timestamp is not None or pod.status.phase in ("Succeeded", "Failed"):
            ignored.append(name)
        elif pod.status.phase == "Pending":
            unready.append(name)
        elif sample is None:
            missing.append(name)
        elif resource == "cpu" and _warming_up(pod, sample, now):
            unready.append(name)
        else:
            ready += 1
    return _Groups(ready, tuple(unready), tuple(missing), tuple(ignored))


def _warming_up(pod: ScaledPod, sample: Sample, now: datetime) -> bool:
    """What it used while it started would mislead."""
    condition = podview.ready_condition(_as_view(pod))
    if condition is None or pod.status.start_time is None or condition.last_transition_time is None:
        return True
    started, changed = podview.instant(pod.status.start_time), podview.instant(condition.last_transition_time)
    if started + _WARM_UP > now:
        return condition.status == "False" or sample.at < changed + timedelta(seconds=sample.window)
    return condition.status == "False" and started + _FIRST_READY > changed


def _as_view(pod: ScaledPod) -> PodView:
    return PodView(pod.metadata, status=pod.status)


def goal_of(target: Mapping[str, Any]) -> Goal:
    """A metric's `target`."""
    utilization, value = target.get("averageUtilization"), target.get("averageValue")
    return Goal(utilization) if utilization is not None else Goal(value=quantity.millis(value or 0))
