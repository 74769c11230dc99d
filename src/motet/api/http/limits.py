"""How often strangers may be wrong: token buckets per source address and for all together, in constant memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from motet.base.clock import Clock


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` failures at once, then `per_second`."""

    burst: float
    per_second: float


class FailureLimit:
    """Counts failures only: who is right is never slowed down by being right."""

    def __init__(
        self,
        clock: Clock,
        each: Rate = Rate(burst=10, per_second=1 / 6),
        together: Rate = Rate(burst=200, per_second=20),
        remembered: int = 4096,
    ) -> None:
        self._clock = clock
        self._each = each
        self._together = together
        self._remembered = remembered
        self._sources: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._all = (together.burst, clock.monotonic())

    def __len__(self) -> int:
        return len(self._sources)

    def wait(self, source: str) -> float:
        """Seconds until `source` may try again; 0 for now."""
        left = self._left(self._each, self._sources.get(source))
        overall = self._left(self._together, self._all)
        return max(
            (1 - left) / self._each.per_second if left < 1 else 0.0,
            (1 - overall) / self._together.per_second if overall < 1 else 0.0,
        )

    def failed(self, source: str) -> None:
        """`source` was wrong once more."""
        now = self._clock.monotonic()
        self._sources[source] = (max(0.0, self._left(self._each, self._sources.get(source)) - 1), now)
        self._sources.move_to_end(source)
        while len(self._sources) > self._remembered:
            self._sources.popitem(last=False)
        self._all = (max(0.0, self._left(self._together, self._all) - 1), now)

    def _left(self, rate: Rate, bucket: tuple[float, float] | None) -> float:
        if bucket is None:
            return rate.burst
        left, at = bucket
        return min(rate.burst, left + (self._clock.monotonic() - at) * rate.per_second)
