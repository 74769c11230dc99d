"""Clocks that disagree: told from the time in each renewal of a node's lease and when it was seen here.

What is late on its way looks like a clock that is behind, never like one ahead; so of the last few renewals the one that says
the most ahead is the best. No node is judged by its clock; but the times that people read (events, logs, ages of containers) come
from there, and so does since when a pod is ready. So it is said, as a condition of the Node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime

import msgspec

from motet.base import timestamps

CONDITION = "ClockSkew"
# From this many seconds on it is worth saying; below half of it, it is over.
TOLD_FROM = 10.0
_READINGS = 3


class Condition(msgspec.Struct, gc=False, frozen=True, rename="camel", omit_defaults=True):
    """One of a Node's conditions."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_heartbeat_time: str | None = None
    last_transition_time: str | None = None


class Skews:
    """What is known of every node's clock."""

    def __init__(self) -> None:
        self._readings: dict[str, deque[float]] = {}
        self._told: dict[str, float] = {}

    def heard(self, name: str, written: str, now: datetime) -> None:
        """A renewal that says `written` (RFC 3339) has just come."""
        try:
            ahead = (timestamps.parse_time(written) - now).total_seconds()
        except ValueError:
            return
        self._readings.setdefault(name, deque(maxlen=_READINGS)).append(ahead)

    def forget(self, name: str) -> None:
        self._readings.pop(name, None)
        self._told.pop(name, None)

    def of(self, name: str) -> float | None:
        """Seconds a node's clock is ahead (negative: behind); 0 when it is in step, None when too little was heard.

        The answer stays as it was while it is about right, so that nobody writes a new one with every renewal.
        """
        readings = self._readings.get(name, ())
        if len(readings) < _READINGS:
            return None
        measured, told = max(readings), self._told.get(name, 0.0)
        least = TOLD_FROM / 2 if told else TOLD_FROM
        if abs(measured) < least:
            self._told[name] = 0.0
        elif not told or abs(measured - told) > max(TOLD_FROM / 2, abs(told) / 10):
            self._told[name] = measured
        return self._told.get(name, 0.0)


def judge(conditions: Sequence[Condition], skew: float | None, now: datetime) -> tuple[Condition, ...]:
    """The conditions as they should be. One that never had anything to say is not there."""
    old = next((each for each in conditions if each.type == CONDITION), None)
    if skew is None or (not skew and old is None):
        return tuple(conditions)
    status, reason, message = "False", "ClockInStep", "the node's clock agrees with the manager's"
    if skew:
        way = "ahead of" if skew > 0 else "behind"
        status, reason = "True", "ClockAhead" if skew > 0 else "ClockBehind"
        message = (
            f"the node's clock is {_lasting(abs(skew))} {way} the manager's: times it writes are wrong by that much"
        )
    if old is not None and (old.status, old.message) == (status, message):
        return tuple(conditions)
    same = old is not None and old.status == status
    since = old.last_transition_time if same and old is not None else timestamps.format_time(now)
    made = Condition(CONDITION, status, reason, message, timestamps.format_time(now), since)
    return (*(each for each in conditions if each.type != CONDITION), made)


def _lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
