"""What a storage engine promises. SQLite and etcd both pass `tests/store/conformance`.

An engine keeps opaque values under keys and gives every transaction a revision, one number higher than the last.
It keeps the past until told to compact it, so that a list can be taken and a watch begun at any kept revision.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from motet.base.errors import MotetError


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as of some revision. `created` and `revision` are those of its first and its last write."""

    key: str
    value: bytes
    created: int
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One write of a transaction.

    `value=None` deletes. `expect` is the revision the key must have now: 0 that it must not exist, None that any will do.
    """

    key: str
    value: bytes | None
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One key changed at `revision`. `value` is None for a deletion; `previous` is None for a creation.

    `created == revision` tells a creation too, also where previous values were not asked for.
    """

    key: str
    value: bytes | None
    previous: bytes | None
    created: int
    revision: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries in key order, all as of `revision`; `more` when `limit` cut the list short."""

    entries: Sequence[Entry]
    revision: int
    more: bool = False


class StoreError(MotetError):
    """The engine could not do its work."""


class RevisionConflict(StoreError):
    """A `Change.expect` did not hold; nothing of the transaction was written."""

    def __init__(self, key: str, expected: int, actual: int) -> None:
        super().__init__(f"{key}: expected revision {expected}, found {actual}")
        self.key, self.expected, self.actual = key, expected, actual


class Compacted(StoreError):
    """The revision asked for is older than what is kept."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"revision {asked} is no longer kept; the oldest is {oldest}")
        self.asked, self.oldest = asked, oldest


class FutureRevision(StoreError):
    """The revision asked for has not been written yet."""


class StoreDamaged(StoreError):
    """The data is not what was written; the message says how to restore."""


class StoreInUse(StoreError):
    """Another manager holds the data."""


class Store(Protocol):
    """A revisioned key-value store with watch."""

    async def open(self) -> None:
        """Take hold of the data. Raises StoreInUse, StoreDamaged, StoreError."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and let go."""
        ...

    @property
    def revision(self) -> int:
        """The revision of the last durable transaction; 0 when nothing was ever written."""
        ...

    @property
    def compacted(self) -> int:
        """Lists and watches can be served at this revision and later."""
        ...

    def submit(self, changes: Sequence[Change]) -> asyncio.Future[int]:
        """Begin one atomic transaction; the future gives its revision once it is durable.

        Conflicts are decided in the order of submission. The future raises RevisionConflict, or StoreError when the
        write could not be made durable. Concurrent submissions share a commit (group commit).
        """
        ...

    async def get(self, key: str, revision: int | None = None) -> Entry | None:
        """The entry now, or as it was at `revision`. Raises Compacted, FutureRevision."""
        ...

    async def list(self, prefix: str, *, revision: int | None = None, after: str = "", limit: int = 0) -> Listing:
        """Entries whose key starts with `prefix` and sorts after `after`. Raises Compacted, FutureRevision."""
        ...

    def watch(self, prefix: str, after: int, *, previous: bool = True) -> AsyncIterator[Sequence[Event]]:
        """Every event on `prefix` with a revision above `after`, in order, in batches that never split a transaction.

        Raises Compacted when `after` is older than what is kept, FutureRevision when it has not been written. Ends when
        the store is closed. With `previous=False`, which is cheaper, events may come without their previous values.
        """
        ...

    def history(self, prefix: str, after: int, until: int) -> AsyncIterator[Sequence[Event]]:
        """As `watch` with previous values, but only of revisions up to and including `until`, and then it ends.

        Raises Compacted, FutureRevision.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget all superseded values older than `revision`. Raises FutureRevision."""
        ...
