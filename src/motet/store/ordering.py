"""Text keys in sorted order, kept lazily.

Writers add and remove far more often than readers list, so changes are only noted and folded in when somebody looks:
a few by bisection, many by one sort (Python's sort is linear on a list that is nearly in order).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

_FEW = 32
# The character after "/": every text that starts with "a/" sorts below "a0".
_AFTER_SLASH = chr(ord("/") + 1)


class SortedKeys:
    """A set of strings that can be listed in order, whole or by prefix."""

    __slots__ = ("_added", "_keys", "_removed")

    def __init__(self) -> None:
        self._keys: list[str] = []
        # Disjoint from each other: a key is in at most one of the two.
        self._added: set[str] = set()
        self._removed: set[str] = set()

    def add(self, key: str) -> None:
        """Add a key that is not in the set (the caller knows: it keeps a dict beside this)."""
        if key in self._removed:
            self._removed.discard(key)
        else:
            self._added.add(key)

    def remove(self, key: str) -> None:
        """Remove a key that is in the set."""
        if key in self._added:
            self._added.discard(key)
        else:
            self._removed.add(key)

    def all(self) -> Sequence[str]:
        """Every key in order. Valid until the next change; the caller must not change it."""
        self._fold()
        return self._keys

    def under(self, prefix: str, after: str = "") -> Sequence[str]:
        """The keys that start with `prefix` (empty, or ending in a slash for speed) and sort above `after`, in order."""
        self._fold()
        keys = self._keys
        start = bisect_left(keys, prefix) if prefix else 0
        if after:
            start = max(start, bisect_right(keys, after))
        if not prefix:
            return keys[start:]
        if prefix.endswith("/"):
            end = bisect_left(keys, prefix[:-1] + _AFTER_SLASH, start)
            return keys[start:end]
        end = start
        while end < len(keys) and keys[end].startswith(prefix):
            end += 1
        return keys[start:end]

    def _fold(self) -> None:
        if self._removed:
            if len(self._removed) <= _FEW:
                for key in self._removed:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                self._keys = [key for key in self._keys if key not in self._removed]
            self._removed.clear()
        if self._added:
            if len(self._added) <= _FEW:
                for key in self._added:
                    insort(self._keys, key)
            else:
                self._keys.extend(sorted(self._added))
                self._keys.sort()
            self._added.clear()
