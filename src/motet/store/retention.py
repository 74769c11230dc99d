"""How far back a revision lies in time: what compaction needs to keep the last so many minutes of history."""

from __future__ import annotations

from collections import deque


class Retention:
    """Remembers which revision was current when. Call `note` at even intervals, for instance once a minute."""

    def __init__(self, keep: float) -> None:
        """`keep`: seconds of history that must remain."""
        self._keep = keep
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, revision: int) -> int:
        """The newest revision that was already current `keep` seconds before `now`: compact up to it. 0 when none was.

        `now` is in seconds on a clock that never goes back.
        """
        self._seen.append((now, revision))
        limit = now - self._keep
        while len(self._seen) > 1 and self._seen[1][0] <= limit:
            self._seen.popleft()
        instant, oldest = self._seen[0]
        return oldest if instant <= limit else 0
