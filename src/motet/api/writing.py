"""Compare-and-swap: one document from one revision to the next, however many others write it too.

Who loses a race decides again on the newer document. A write is answered when the cache has it, so that everybody reads
their own writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

from motet.api.allocate import SERVICES, ServiceAllocator, ServiceNumbers
from motet.api.deletion import GONE, UNCHANGED, Fate
from motet.base.errors import ApiError, InternalError, NotFound, TimedOut, conflict, not_found
from motet.kinds.kind import Json, Kind
from motet.store.cache import Cache
from motet.store.document import Document, Key, encode, stamp
from motet.store.engine import Change, RevisionConflict, Store, StoreError
from motet.store.table import Table

# What becomes of the current document: a new one, as a dict or as the bytes to store, or a fate.
Outcome = Json | bytes | Fate
Decide = Callable[[Document], Awaitable[Outcome]]

# How often one write may lose the race for its key before its author is told to try again.
_ATTEMPTS = 100
# How long to wait for a revision this manager has not seen yet; upstream waits as long.
FRESH_SECONDS = 3.0
_UNNUMBERED = nullcontext()


class Writer:
    """Writes single documents. The cache must be started before the first call."""

    def __init__(self, store: Store, cache: Cache, numbers: ServiceNumbers) -> None:
        self._store = store
        self._cache = cache
        self._numbers = numbers
        self._allocator: ServiceAllocator | None = None
        # Those who lost a race for a key, one at a time: (lock, how many hold or want it).
        self._turns: dict[Key, tuple[asyncio.Lock, int]] = {}

    def table(self, kind: Kind) -> Table:
        """The live table of a kind. Raises NotFound for a kind that went."""
        try:
            return self._cache.table(kind.resource)
        except KeyError:
            raise NotFound("the server could not find the requested resource") from None

    def current(self, kind: Kind, namespace: str, name: str) -> Document:
        """Raises NotFound."""
        try:
            found = self._cache.table(kind.resource).get(name, namespace)
        except KeyError:  # a custom resource whose definition went just now
            found = None
        if found is None:
            raise not_found(kind.group, kind.plural, name)
        return found

    async def create(self, kind: Kind, key: Key, document: Json, *, dry_run: bool) -> Document:
        """Write what is not there yet. Raises RevisionConflict when it is, Invalid, InternalError."""
        with self._numbered(kind, document, None):
            value = encode(document)
            return Document(key, value, 0) if dry_run else await self._commit(key, value, 0)

    async def modify(
        self, kind: Kind, namespace: str, name: str, decide: Decide, *, dry_run: bool
    ) -> tuple[Document, bool]:
        """Read, decide, compare and swap, again while others win. Gives the document, and whether it is gone now.

        Raises NotFound, Conflict when others never stop winning, InternalError, and what `decide` raises.
        """
        turn: asyncio.Lock | None = None
        try:
            for _ in range(_ATTEMPTS):
                current = self.current(kind, namespace, name)
                outcome = await decide(current)
                if outcome is UNCHANGED:
                    return current, False
                if dry_run:
                    return self._imagined(kind, current, outcome)
                try:
                    return await self._swap(kind, current, outcome)
                except RevisionConflict as lost:
                    if turn is None:
                        # One at a time from here on, or the losers would lose to each other.
                        turn = await self._take_turn(current.key)
                    await self._settle(current.key, lost)
        finally:
            if turn is not None:
                self._end_turn(Key(kind.resource, namespace, name), turn)
        raise conflict(kind.group, kind.plural, name)

    async def fresh(self, revision: int) -> None:
        """Wait until the cache is at least as new as `revision`. Raises TimedOut."""
        if revision <= self._cache.revision:
            return
        try:
            async with asyncio.timeout(FRESH_SECONDS):
                await self._cache.reached(revision)
        except TimeoutError as error:
            message = f"Too large resource version: {revision}, current: {self._cache.revision}"
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            raise TimedOut(message, details={"causes": [cause], "retryAfterSeconds": 1}) from error

    async def _swap(self, kind: Kind, current: Document, outcome: Outcome) -> tuple[Document, bool]:
        if isinstance(outcome, Fate):
            return current.at(await self._submit(current.key, None, current.revision)), True
        if isinstance(outcome, bytes):
            return await self._commit(current.key, outcome, current.revision), False
        with self._numbered(kind, outcome, current):
            return await self._commit(current.key, encode(outcome), current.revision), False

    def _imagined(self, kind: Kind, current: Document, outcome: Outcome) -> tuple[Document, bool]:
        """What `_swap` would have given, without writing."""
        if isinstance(outcome, Fate):
            return current, outcome is GONE
        if isinstance(outcome, bytes):
            return Document(current.key, stamp(outcome, current.revision), current.revision), False
        with self._numbered(kind, outcome, current):
            return Document(current.key, stamp(encode(outcome), current.revision), current.revision), False

    def _numbered(self, kind: Kind, document: Json, current: Document | None) -> AbstractContextManager[None]:
        """Cluster addresses and node ports for a Service; held until the write has ended. Raises Invalid."""
        if kind.resource != SERVICES:
            return _UNNUMBERED
        if self._allocator is None:
            self._allocator = ServiceAllocator(self._cache.table(SERVICES), self._numbers)
        return self._allocator.numbered(document, current.decode() if current else None)

    async def _commit(self, key: Key, value: bytes, expect: int) -> Document:
        revision = await self._submit(key, value, expect)
        found = self._cache.table(key.resource).get(key.name, key.namespace) if key.resource in self._cache else None
        if found is not None and found.revision == revision:
            return found
        return Document(key, stamp(value, revision), revision)

    async def _submit(self, key: Key, value: bytes | None, expect: int) -> int:
        """Write, and wait until this manager's readers see it. Raises RevisionConflict, InternalError."""
        try:
            revision = await self._store.submit((Change(str(key), value, expect),))
        except RevisionConflict:
            raise
        except StoreError as error:
            raise failed(error) from error
        await self._cache.reached(revision)
        return revision

    async def _settle(self, key: Key, lost: RevisionConflict) -> None:
        """Wait until the cache shows the write that won."""
        if lost.actual > self._cache.revision:
            await self.fresh(lost.actual)
            return
        # The winner deleted it, and is not durable yet: the engine does not say under which revision.
        table = self._cache.table(key.resource)
        while (found := table.get(key.name, key.namespace)) and found.revision == lost.expected:
            await asyncio.sleep(0.001)

    async def _take_turn(self, key: Key) -> asyncio.Lock:
        turn, wanted = self._turns.get(key) or (asyncio.Lock(), 0)
        self._turns[key] = (turn, wanted + 1)
        try:
            await turn.acquire()
        except asyncio.CancelledError:
            self._forget_turn(key)
            raise
        return turn

    def _end_turn(self, key: Key, turn: asyncio.Lock) -> None:
        turn.release()
        self._forget_turn(key)

    def _forget_turn(self, key: Key) -> None:
        turn, wanted = self._turns[key]
        if wanted > 1:
            self._turns[key] = (turn, wanted - 1)
        else:
            del self._turns[key]


def failed(error: StoreError) -> ApiError:
    """A write that the engine could not do."""
    return InternalError(f"the store could not write: {error}")
