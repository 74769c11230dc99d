"""The latest changes of one resource, so that a watch from a recent revision costs no disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from motet.store.change import Change

_MOST_CHANGES = 4096
_MOST_BYTES = 16 * 1024 * 1024


class Ring:
    """Every change above `floor`, oldest first; the oldest fall out when there are too many or they are too large."""

    def __init__(self, floor: int, *, changes: int = _MOST_CHANGES, size: int = _MOST_BYTES) -> None:
        self.floor = floor
        self._most_changes = changes
        self._most_bytes = size
        self._changes: deque[Change] = deque()
        self._size = 0

    def append(self, change: Change) -> None:
        self._changes.append(change)
        self._size += change.size
        while self._size > self._most_bytes or len(self._changes) > self._most_changes:
            dropped = self._changes.popleft()
            self._size -= dropped.size
            self.floor = dropped.revision

    def after(self, revision: int) -> Sequence[Change]:
        """The changes above `revision`, which is not below `floor`."""
        found: list[Change] = []
        for change in reversed(self._changes):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found
