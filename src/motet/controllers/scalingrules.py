"""How fast an autoscaler may change a size: stabilization windows, policies, limits (autoscaling/v2 `behavior`).

Numbers and words are those of Kubernetes' autoscaler. What happened before is given: recommendations and changes of size, with
their times; nothing here remembers anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

import msgspec

from motet.base import quantity

DOWNSCALE_WINDOW = 300
_DEFAULT_TOLERANCE = 0.1


class Policy(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "Percent"
    value: int = 100
    period_seconds: int = 15


class Rules(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    stabilization_window_seconds: int | None = None
    select_policy: str = "Max"
    policies: tuple[Policy, ...] = (Policy(),)
    tolerance: str | int | float | None = None


class Behavior(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What holds when an autoscaler says nothing: up at once, doubling or by four pods every 15 s; down after five minutes."""

    scale_up: Rules = Rules(0, "Max", (Policy("Pods", 4), Policy("Percent", 100)))
    scale_down: Rules = Rules()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What was computed from metrics at a time, before any rule was applied."""

    at: datetime
    replicas: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of size at a time: pods added (or, below zero, removed)."""

    at: datetime
    replicas: int


@dataclass(frozen=True, slots=True)
class Said:
    """A size, and in a condition's words why it is not another."""

    replicas: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sizes an autoscaler may choose from."""

    least: int
    most: int


def stabilize(current: int, desired: int, behavior: Behavior, earlier: Iterable[Recommendation], now: datetime) -> Said:
    """The size that the recommendations within the windows allow: never above the lowest, never below the highest of them."""
    up = behavior.scale_up.stabilization_window_seconds or 0
    down = behavior.scale_down.stabilization_window_seconds
    up_since = now - timedelta(seconds=up)
    down_since = now - timedelta(seconds=DOWNSCALE_WINDOW if down is None else down)
    lowest = highest = desired
    for each in earlier:
        if each.at > up_since:
            lowest = min(lowest, each.replicas)
        if each.at > down_since:
            highest = max(highest, each.replicas)
    found = min(max(current, lowest), highest)
    if found == desired:
        return Said(found, "ReadyForNewScale", "recommended size matches current size")
    if desired >= current:
        message = "recent recommendations were lower than current one, applying the lowest recent recommendation"
        return Said(found, "ScaleUpStabilized", message)
    message = "recent recommendations were higher than current one, applying the highest recent recommendation"
    return Said(found, "ScaleDownStabilized", message)


def limit(
    current: int, desired: int, bounds: Bounds, behavior: Behavior, changes: Sequence[Change], now: datetime
) -> Said:
    """The size that the policies and the bounds allow. `DesiredWithinRange` is all right."""
    if desired > current:
        fastest = max(current, _up(current, behavior.scale_up, changes, now))
        if desired > min(bounds.most, fastest):
            if fastest < bounds.most:
                message = "the desired replica count is increasing faster than the maximum scale rate"
                return Said(fastest, "ScaleUpLimit", message)
            message = "the desired replica count is more than the maximum replica count"
            return Said(bounds.most, "TooManyReplicas", message)
    elif desired < current:
        fastest = min(current, _down(current, behavior.scale_down, changes, now))
        if desired < max(bounds.least, fastest):
            if fastest > bounds.least:
                message = "the desired replica count is decreasing faster than the maximum scale rate"
                return Said(fastest, "ScaleDownLimit", message)
            message = "the desired replica count is less than the minimum replica count"
            return Said(bounds.least, "TooFewReplicas", message)
    return Said(desired, "DesiredWithinRange", "the desired count is within the acceptable range")


def _at_start(current: int, policy: Policy, changes: Sequence[Change], now: datetime) -> int:
    """The size at the beginning of a policy's period."""
    since = now - timedelta(seconds=policy.period_seconds)
    return current - sum(change.replicas for change in changes if change.at > since)


def _up(current: int, rules: Rules, changes: Sequence[Change], now: datetime) -> int:
    if rules.select_policy == "Disabled":
        return current
    sizes = []
    for policy in rules.policies:
        start = _at_start(current, policy, changes, now)
        grown = start + policy.value if policy.type == "Pods" else ceil(start * (1 + policy.value / 100))
        sizes.append(grown)
    return min(sizes) if rules.select_policy == "Min" else max(sizes)


def _down(current: int, rules: Rules, changes: Sequence[Change], now: datetime) -> int:
    if rules.select_policy == "Disabled":
        return current
    sizes = []
    for policy in rules.policies:
        start = _at_start(current, policy, changes, now)
        shrunk = start - policy.value if policy.type == "Pods" else int(start * (1 - policy.value / 100))
        sizes.append(shrunk)
    return max(sizes) if rules.select_policy == "Min" else min(sizes)


def longest_memory(behavior: Behavior) -> float:
    """For how many seconds recommendations and changes have to be remembered."""
    rules = (behavior.scale_up, behavior.scale_down)
    windows = (DOWNSCALE_WINDOW, *(each.stabilization_window_seconds or 0 for each in rules))
    return max(*windows, *(policy.period_seconds for each in rules for policy in each.policies))


def tolerance(rules: Rules) -> float:
    """By what share a measurement may miss its target without any change."""
    if rules.tolerance is None:
        return _DEFAULT_TOLERANCE
    return float(quantity.parse(rules.tolerance))
