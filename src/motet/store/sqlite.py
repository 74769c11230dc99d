"""The embedded engine: an append-only log in one SQLite file, and an index of the living keys in memory.

A submission is decided at once, in the event loop, against the index and the writes still under way; it gets its revision
and waits in line. Whenever the committer is free, all that waits becomes one commit (group commit, no time window, no delay
for a lone writer). Only when a commit is durable does the index move, do watchers hear of it and do futures resolve, in
order of revision. When a commit fails, everything under way fails with it, because later decisions were built on earlier
ones; the index, which never moved, is what is durable, and the next submission tries the disk again.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import sqlite3
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from motet.store import backup, journal, layout
from motet.store.committer import Done, InlineCommitter, Job, ThreadCommitter
from motet.store.engine import (
    Change,
    Compacted,
    Entry,
    Event,
    FutureRevision,
    Listing,
    RevisionConflict,
    StoreError,
)
from motet.store.feed import Feed, Transaction
from motet.store.history import History, IndexEntry
from motet.store.hold import Hold
from motet.store.journal import BATCH_ROWS
from motet.store.layout import MOST_CHANGES, first_id, revision_of, translate
from motet.store.ordering import SortedKeys
from motet.store.sealing import Sealer

Synchronous = Literal["FULL", "NORMAL"]

_BATCH_BYTES = 8 * 1024 * 1024
# History is read, and swept by compaction, in slices of this many revisions, so that nothing waits long.
_SLICE = 256


class SqliteStore:
    """`Store` in one local file. With `FULL` an answered write survives power loss; with `NORMAL` it survives a crash
    of the process, and power loss may take the last moments but never consistency.
    """

    def __init__(
        self, path: str | os.PathLike[str], synchronous: Synchronous = "FULL", *, sealer: Sealer | None = None
    ) -> None:
        if synchronous not in ("FULL", "NORMAL"):
            raise ValueError(f"synchronous must be FULL or NORMAL, not {synchronous!r}")
        self.path = Path(path)
        self._synchronous: Synchronous = synchronous
        self._sealer = sealer
        self._hold = Hold(self.path.with_name(self.path.name + ".lock"))
        self._open = False
        self._closing = False
        self._revision = 0
        self._compacted = 0
        # What is durable.
        self._index: dict[str, IndexEntry] = {}
        self._order = SortedKeys()
        # What submissions have been promised on top of it; a negative row id is a deletion under way.
        self._head: dict[str, IndexEntry] = {}
        self._assigned = 0
        self._waiting: deque[Transaction] = deque()
        self._writing: list[Transaction] = []
        self._chores: deque[tuple[Job, asyncio.Future[None]]] = deque()
        self._busy = False
        self._scheduled = False
        self._idle: list[asyncio.Future[None]] = []
        self._feeds: set[Feed] = set()

    # Opening and closing

    async def open(self) -> None:
        """Take hold of the file, creating it if need be. Raises StoreInUse, StoreDamaged, StoreError."""
        self._hold.take()
        with contextlib.ExitStack() as undo:
            undo.callback(self._hold.release)
            try:
                exists = layout.check_header(self.path)
                connection = layout.connect(self.path, self._synchronous)
                undo.callback(connection.close)
                layout.prepare(connection, self.path, exists=exists)
                self._history = History(self.path, self._sealer)
                undo.callback(self._history.close)
                self._load()
            except sqlite3.Error as error:
                raise translate(error, self.path) from error
            undo.pop_all()
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._committer: InlineCommitter | ThreadCommitter
        if self._synchronous == "FULL":
            self._committer = ThreadCommitter(connection, self._loop)
        else:
            self._committer = InlineCommitter(connection)
        self._open, self._closing = True, False

    def _load(self) -> None:
        marks = self._history.marks()
        self._compacted, self._swept = marks["compacted"], marks["swept"]
        self._revision = self._assigned = max(self._history.last_revision(), self._compacted)
        self._index = self._history.load_index()
        self._order = SortedKeys()
        for key in self._index:
            self._order.add(key)

    async def close(self) -> None:
        """Write what was accepted, end all watches and let go of the file. A second call does nothing."""
        if not self._open or self._closing:
            return
        self._closing = True
        while self._waiting or self._busy or self._chores:
            settled = self._loop.create_future()
            self._idle.append(settled)
            await settled
        self._open = False
        for feed in list(self._feeds):
            feed.end()
        self._committer.stop()
        try:
            self._history.close()
            with contextlib.suppress(sqlite3.Error):
                # Everything is in the log already; this only saves the next opening some work.
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
        finally:
            self._hold.release()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._compacted

    # Writing

    def submit(self, changes: Sequence[Change]) -> asyncio.Future[int]:
        """See `Store.submit`. Deleting what does not exist writes nothing and, alone, gives the current revision.

        Raises ValueError for a transaction that is empty, too large or changes a key twice, or a key that is no text.
        """
        self._check_open()
        if not changes or len(changes) > MOST_CHANGES:
            raise ValueError(f"a transaction has 1 to {MOST_CHANGES} changes, not {len(changes)}")
        if len(changes) > 1 and len({change.key for change in changes}) < len(changes):
            raise ValueError("a transaction may change a key only once")
        for change in changes:
            # Anything SQLite could not take must fail here, alone, and not in the commit it would share with others.
            if not change.key.isascii():
                change.key.encode()
            if change.value is not None and not isinstance(change.value, bytes):
                raise TypeError(f"the value of {change.key} must be bytes")
        future: asyncio.Future[int] = self._loop.create_future()
        found = [self._promised(change.key) for change in changes]
        for change, entry in zip(changes, found, strict=True):
            actual = revision_of(entry[0]) if entry else 0
            if change.expect is not None and change.expect != actual:
                future.set_exception(RevisionConflict(change.key, change.expect, actual))
                return future
        self._accept(changes, found, future)
        return future

    def _promised(self, key: str) -> IndexEntry | None:
        """The key as it will be when everything under way is durable."""
        promised = self._head.get(key)
        if promised is None:
            return self._index.get(key)
        return promised if promised[0] > 0 else None

    def _accept(
        self, changes: Sequence[Change], found: Sequence[IndexEntry | None], future: asyncio.Future[int]
    ) -> None:
        revision = self._assigned + 1
        row_id = first_id(revision)
        rows: list[object] = []
        size = 0
        written: list[tuple[str, bytes | None, int, int]] = []
        for change, entry in zip(changes, found, strict=True):
            value = change.value
            if value is None:
                if entry is None:
                    continue
                created, crc, stored = entry[1], 0, None
                self._head[change.key] = (-row_id, created)
            else:
                stored = self._sealer.seal(change.key, value) if self._sealer is not None else value
                created, crc = entry[1] if entry else revision, zlib.crc32(stored)
                self._head[change.key] = (row_id, created)
                size += len(stored)
            rows += (row_id, change.key, created, entry[0] if entry else 0, crc, stored)
            written.append((change.key, value, created, row_id))
            row_id += 1
        if written:
            self._assigned = revision
        self._waiting.append(Transaction(self._assigned, rows, size, written, future))
        self._schedule()

    def _schedule(self) -> None:
        # Not at once: whoever else is ready in this turn of the loop shares the commit.
        if not self._scheduled and not self._busy:
            self._scheduled = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """Start the next commit or, turn about with commits, the next chore."""
        self._scheduled = False
        if self._busy:
            return
        if self._waiting and not (self._chores and self._chore_is_due):
            self._chore_is_due = True
            self._begin_commit()
        elif self._chores:
            self._chore_is_due = False
            job, future = self._chores.popleft()
            self._run(job, lambda error: self._chore_done(future, error))
        elif self._closing:
            idle, self._idle = self._idle, []
            for settled in idle:
                settled.set_result(None)

    _chore_is_due = False

    def _run(self, job: Job, done: Done) -> None:
        self._busy = True
        self._committer.run(job, done)

    def _begin_commit(self) -> None:
        batch: list[Transaction] = []
        rows = size = 0
        while self._waiting:
            transaction = self._waiting[0]
            if batch and (rows + len(transaction.written) > BATCH_ROWS or size + transaction.size > _BATCH_BYTES):
                break
            batch.append(self._waiting.popleft())
            rows += len(transaction.written)
            size += transaction.size
        self._writing = batch
        parameters: list[object] = []
        for transaction in batch:
            parameters += transaction.rows
        self._run(lambda connection: journal.append(connection, parameters), self._commit_done)

    def _commit_done(self, error: sqlite3.Error | None) -> None:
        self._busy = False
        batch, self._writing = self._writing, []
        if error is None:
            self._publish(batch)
        else:
            self._fail([*batch, *self._waiting], error)
        self._schedule()

    def _publish(self, batch: Sequence[Transaction]) -> None:
        for transaction in batch:
            for key, value, created, row_id in transaction.written:
                if value is None:
                    del self._index[key]
                    self._order.remove(key)
                else:
                    if key not in self._index:
                        self._order.add(key)
                    self._index[key] = (row_id, created)
                # Unless a later write of the same key is under way, what is promised is now what is durable.
                if abs(self._head[key][0]) == row_id:
                    del self._head[key]
        self._revision = max(self._revision, batch[-1].revision)
        # Watchers before answers: a cache that follows has applied a write before its writer is told.
        if self._feeds:
            events = [event for transaction in batch for event in transaction.events()]
            if events:
                for feed in list(self._feeds):
                    feed.offer(events, self._revision)
        for transaction in batch:
            if not transaction.future.done():
                transaction.future.set_result(transaction.revision)

    def _fail(self, transactions: Sequence[Transaction], error: sqlite3.Error) -> None:
        self._waiting.clear()
        self._head.clear()
        self._assigned = self._revision
        for transaction in transactions:
            if not transaction.future.done():
                failure = translate(error, self.path)
                failure.__cause__ = error
                transaction.future.set_exception(failure)

    # Reading

    async def get(self, key: str, revision: int | None = None) -> Entry | None:
        """See `Store.get`."""
        self._check_revision(revision)
        entry = self._index.get(key)
        row_id = entry[0] if entry else 0
        if revision is not None and revision < self._revision:
            row_id = (await self._touched(key, revision)).get(key, row_id)
        found = self._history.entries([row_id]) if row_id else []
        self._check_revision(revision)
        return found[0] if found else None

    async def list(self, prefix: str, *, revision: int | None = None, after: str = "", limit: int = 0) -> Listing:
        """See `Store.list`."""
        self._check_revision(revision)
        now = self._revision
        keys = self._order.under(prefix, after)
        wanted = limit + 1 if limit else None
        if revision is None or revision == now:
            rows = [self._index[key][0] for key in keys[:wanted]]
        else:
            # Rows as of `now`: slices of history let writes in between.
            current = {key: self._index[key][0] for key in keys}
            rows = _as_of(keys, current, await self._touched(prefix, revision), after, wanted)
        entries = self._history.entries(rows[:limit] if limit else rows)
        self._check_revision(revision)
        return Listing(entries, now if revision is None else revision, bool(limit) and len(rows) > limit)

    async def _touched(self, prefix: str, revision: int) -> dict[str, int]:
        """Row ids, as of `revision`, of the keys changed since."""
        touched: dict[str, int] = {}
        position, now = revision, self._revision
        while position < now:
            until = min(position + _SLICE, now)
            for key, row_id in self._history.touched(prefix, position, until).items():
                touched.setdefault(key, row_id)
            position = until
            if position < now:
                await asyncio.sleep(0)
        return touched

    async def watch(self, prefix: str, after: int, *, previous: bool = True) -> AsyncIterator[Sequence[Event]]:
        """See `Store.watch`. Ends when the store is closed.

        With `previous=False` events come without previous values and, once caught up, without touching the disk.
        Raises FutureRevision when `after` has not been written yet.
        """
        self._check_revision(after)
        feed = Feed(prefix)
        self._feeds.add(feed)
        try:
            position = after
            while self._open:
                if position < self._revision:
                    until = min(position + _SLICE, self._revision)
                    if position < self._compacted:
                        raise Compacted(position, self._compacted)
                    events: Sequence[Event] = self._history.events(prefix, position, until)
                    position = until
                    if events:
                        yield events
                    else:
                        await asyncio.sleep(0)
                elif previous:
                    await feed.stirred()
                else:
                    # No await between the comparison above and this: nothing can slip through.
                    feed.go_live()
                    while (batch := await feed.next()) is not None:
                        events, position = batch
                        if events:
                            yield events
        finally:
            self._feeds.discard(feed)

    async def history(self, prefix: str, after: int, until: int) -> AsyncIterator[Sequence[Event]]:
        """See `Store.history`."""
        self._check_revision(until)
        position = after
        while position < until:
            self._check_revision(position)
            reached = min(position + _SLICE, until)
            events = self._history.events(prefix, position, reached)
            position = reached
            if events:
                yield events
            else:
                await asyncio.sleep(0)

    # Upkeep

    async def compact(self, revision: int) -> None:
        """See `Store.compact`. Raises FutureRevision for a revision not yet written. Going backwards does nothing."""
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(f"revision {revision} has not been written yet; the newest is {self._revision}")
        if revision > self._compacted:
            # Promise first, delete after: a crash in between leaves rows to sweep, never a history with holes.
            await self._chore(lambda connection: journal.mark(connection, "compacted", revision))
            self._compacted = max(self._compacted, revision)
        while self._swept < self._compacted:
            self._check_open()
            start, until = self._swept, min(self._swept + _SLICE, self._compacted)
            await self._chore(lambda connection, start=start, until=until: journal.sweep(connection, start, until))  # type: ignore[misc]
            self._swept = max(self._swept, until)

    async def reseal(self) -> int:
        """Seal anew what is not sealed with the newest key, and leave nothing of the old form in the file; how many
        values there were. Raises StoreError.
        """
        self._check_open()
        if self._sealer is None:
            return 0
        changed = position = 0
        while True:
            job = journal.Resealing(self._sealer, position)
            await self._chore(job)
            changed += job.changed
            if job.reached is None:
                break
            position = job.reached
        # What was overwritten is zeros in the file; the write-ahead log still holds how it got there. Afterwards all of it is
        # durable, also with NORMAL: the older keys may go.
        await self._chore(journal.empty_log)
        return changed

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a complete copy, as of now, to `path` while the store goes on working. Raises StoreError."""
        self._check_open()
        await asyncio.to_thread(backup.take, self.path, Path(path))

    async def _chore(self, job: Job) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._chores.append((job, future))
        self._schedule()
        await future

    def _chore_done(self, future: asyncio.Future[None], error: sqlite3.Error | None) -> None:
        self._busy = False
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(translate(error, self.path))
        self._schedule()

    def _check_open(self) -> None:
        if not self._open or self._closing:
            raise StoreError(f"the store {self.path} is not open")

    def _check_revision(self, revision: int | None) -> None:
        if not self._open:
            raise StoreError(f"the store {self.path} is not open")
        if revision is None:
            return
        if revision < self._compacted:
            raise Compacted(revision, self._compacted)
        if revision > self._revision:
            raise FutureRevision(f"revision {revision} has not been written yet; the newest is {self._revision}")


def _as_of(
    keys: Sequence[str], current: dict[str, int], touched: dict[str, int], after: str, wanted: int | None
) -> list[int]:
    """The first `wanted` rows (None: all) above `after`, in key order, of a past state.

    `touched` tells what changed since: the row that held a key then, 0 when none did.
    """
    past = sorted(key for key, row_id in touched.items() if row_id and key > after)
    untouched = (key for key in keys if key not in touched)
    merged = heapq.merge(past, untouched)
    return [touched.get(key) or current[key] for key in islice(merged, wanted)]
