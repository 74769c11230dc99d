"""The cache: every object of the known resources in memory, current to the last commit, for reading and for watching.

It loads once, then follows the engine. Each event becomes one Document, goes into its resource's table (whose listeners
are the in-process loops), into a ring of recent changes, and out to the subscriptions it concerns. A watch that begins
before the ring does is first served from the engine's history; one that begins before that must list again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import itertools
import logging
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from motet.base import supervise
from motet.base.selectors import EVERYTHING, FieldSelector, Selector
from motet.store.change import Change, EventType, Selection, WatchEvent
from motet.store.dispatch import Dispatch
from motet.store.document import Document, Key, parse_key, stamp
from motet.store.engine import Compacted, Event, FutureRevision, Store, StoreError
from motet.store.ring import Ring
from motet.store.subscription import DEFAULT_LIMIT, Deliver, SlowSubscriber, Subscription
from motet.store.table import ALL_FIELDS, Fields, Table, no_fields

__all__ = ["Cache", "EventType", "Resource", "SlowSubscriber", "Subscription", "WatchEvent"]

log = logging.getLogger(__name__)

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource to keep: `name` is `GROUP/PLURAL`; the rest as for `Table`."""

    name: str
    fields: Fields = no_fields
    indexed_fields: tuple[str, ...] = ()


class _Kept:
    """What the cache keeps of one resource."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.table = Table(resource.name, fields=resource.fields, indexed_fields=resource.indexed_fields)
        self.dispatch = Dispatch(resource.fields)
        self.ring = Ring(0)
        # Events up to here came with the first list.
        self.loaded = 0
        # Events that arrived while that list was being taken.
        self.early: list[Event] = []


class Cache:
    """Tables and subscriptions over one engine. The engine must be open before `start` and closed after `close`."""

    def __init__(self, store: Store, resources: Iterable[Resource]) -> None:
        self._store = store
        self._kept = {resource.name: _Kept(resource) for resource in resources}
        self._revision = 0
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._follower: asyncio.Task[None] | None = None
        self._loading: dict[str, _Kept] = {}
        # Whether a batch is being taken in; still true afterwards when that failed half way.
        self._torn = False
        # How often everything was compared anew.
        self._reloads = 0
        self._adding = asyncio.Lock()

    async def start(self) -> None:
        """Load everything, then follow. Raises StoreError, StoreDamaged."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._revision = self._store.revision
            for kept in list(self._kept.values()):
                await self._load(kept, self._revision)
        finally:
            # What was loaded stays: the collector need never walk it.
            gc.freeze()
            if collecting:
                gc.enable()
        self._follower = asyncio.create_task(
            supervise.forever("following the store", self._follow, log=log), name="motet-cache"
        )

    async def close(self) -> None:
        """Stop following and end all subscriptions."""
        if self._follower is not None:
            self._follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follower
            self._follower = None
        for kept in self._kept.values():
            for subscriber in kept.dispatch.subscribers():
                subscriber.close()
        for _, _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(StoreError("the cache was closed"))
        self._waiters.clear()

    @property
    def revision(self) -> int:
        """Everything up to this revision has been applied."""
        return self._revision

    @property
    def resources(self) -> Sequence[str]:
        return list(self._kept)

    def __contains__(self, resource: str) -> bool:
        return resource in self._kept

    def table(self, resource: str) -> Table:
        """The live table of a resource. Raises KeyError when the cache does not keep it."""
        return self._kept[resource].table

    async def add(self, resource: Resource) -> None:
        """Keep one more resource; its table is complete when this returns. One already kept stays as it is."""
        async with self._adding:
            if resource.name in self._kept:
                return
            kept = await self._loaded(resource) if self._follower is not None else _Kept(resource)
            self._kept[resource.name] = kept

    async def _loaded(self, resource: Resource) -> _Kept:
        """A resource with everything there is, up to what has been applied at least."""
        while True:
            kept = self._loading[resource.name] = _Kept(resource)
            reloads = self._reloads
            try:
                await self._load(kept, self._store.revision)
            finally:
                del self._loading[resource.name]
            if reloads == self._reloads:
                break
            # The cache jumped over changes meanwhile, and this resource's may be among them.
        for event in kept.early:
            self._apply_one(kept, event)
        kept.early.clear()
        return kept

    def remove(self, resource: str) -> None:
        """Forget a resource and end its subscriptions."""
        kept = self._kept.pop(resource, None)
        if kept is not None:
            for subscriber in kept.dispatch.subscribers():
                subscriber.close()

    async def reached(self, revision: int) -> None:
        """Return once everything up to `revision` has been applied: read your own writes."""
        if self._revision >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (revision, next(self._order), waiter))
        await waiter

    def subscribe(
        self,
        resource: str,
        *,
        after: int,
        namespace: str = "",
        labels: Selector = EVERYTHING,
        fields: FieldSelector = ALL_FIELDS,
        deliver: Deliver | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Subscription:
        """Every change of a selection above revision `after`. `limit` is in bytes waiting.

        With `deliver`, call `await subscription.catch_up()` once: it hands over what lies between `after` and now, and
        from then on every batch goes out by itself.
        Raises KeyError, Compacted when `after` is too old, FutureRevision when it has never been written.
        """
        kept = self._kept[resource]
        if after < self._store.compacted and after < kept.ring.floor:
            raise Compacted(after, self._store.compacted)
        if after > max(self._revision, self._store.revision):
            raise FutureRevision(f"revision {after} has not been written yet; the newest is {self._store.revision}")
        selection = Selection(namespace, labels, fields)
        floor = kept.ring.floor
        events = [selection.event(change, kept.resource.fields) for change in kept.ring.after(max(after, floor))]
        subscription = Subscription(
            max(after, self._revision),
            lambda: self._revision,
            lambda leaving: kept.dispatch.leave(selection, leaving),
            recent=[event for event in events if event is not None],
            deliver=deliver,
            limit=limit,
        )
        if after < floor:
            subscription.read_first(self._past(kept, selection, after, floor), after)
        kept.dispatch.join(selection, subscription)
        return subscription

    async def _past(
        self, kept: _Kept, selection: Selection, after: int, until: int
    ) -> AsyncIterator[tuple[Sequence[WatchEvent], int]]:
        """What a selection saw in revisions (after, until], from the engine, with the revision each batch reaches."""
        name = kept.resource.name
        async for events in self._store.history(f"{name}/", after, until):
            seen: list[WatchEvent] = []
            for event in events:
                old = _document(name, event.key, event.previous, event.revision)
                new = _document(name, event.key, event.value, event.revision)
                look = selection.event(Change(old, new, event.revision), kept.resource.fields)
                if look is not None:
                    seen.append(look)
            yield seen, events[-1].revision

    async def _load(self, kept: _Kept, revision: int) -> None:
        """Fill an empty table with the state at `revision`."""
        async for document in self._listed(kept, revision):
            kept.table.apply(document.key, document, document.revision)
        kept.table.advance(revision)
        kept.ring = Ring(revision)
        kept.loaded = revision

    async def _listed(self, kept: _Kept, revision: int) -> AsyncIterator[Document]:
        name = kept.resource.name
        after = ""
        while True:
            listing = await self._store.list(f"{name}/", revision=revision, after=after, limit=_PAGE)
            for entry in listing.entries:
                document = _document(name, entry.key, entry.value, entry.revision)
                if document is not None:
                    yield document
            if not listing.more:
                return
            after = listing.entries[-1].key
            await asyncio.sleep(0)

    async def _follow(self) -> None:
        if self._torn:
            await self._reload(StoreError("the cache failed to take in a change; list again"))
        try:
            async for events in self._store.watch("", self._revision, previous=False):
                self._torn = True
                self._apply(events)
                self._torn = False
        except Compacted as failure:
            await self._reload(failure)
        else:
            # The engine was closed before the cache was: nothing will ever come again.
            await asyncio.get_running_loop().create_future()

    def _apply(self, events: Sequence[Event]) -> None:
        """Take in one batch of the engine: tables first, then subscribers, then whoever waits for the revision."""
        touched: dict[str, _Kept] = {}
        changes: list[Change] = []
        for event in events:
            group, plural, _ = event.key.split("/", 2)
            resource = f"{group}/{plural}"
            kept = self._kept.get(resource)
            if kept is None:
                if resource in self._loading:
                    self._loading[resource].early.append(event)
                continue
            change = self._apply_one(kept, event)
            if change is not None:
                kept.dispatch.note(change)
                changes.append(change)
                touched[resource] = kept
        self._advance(events[-1].revision)
        for kept in touched.values():
            kept.dispatch.flush()
        for change in changes:
            change.forget()

    def _apply_one(self, kept: _Kept, event: Event) -> Change | None:
        if event.revision <= kept.loaded:
            return None
        new = _document(kept.resource.name, event.key, event.value, event.revision)
        key = new.key if new is not None else parse_key(event.key)
        old = kept.table.get(key.name, key.namespace)
        if new is None and old is None:
            return None
        change = Change(old, new, event.revision)
        kept.ring.append(change)
        kept.table.apply(key, new, event.revision)
        return change

    def _advance(self, revision: int) -> None:
        self._revision = revision
        while self._waiters and self._waiters[0][0] <= revision:
            _, _, waiter = heapq.heappop(self._waiters)
            if not waiter.done():
                waiter.set_result(None)

    async def _reload(self, failure: StoreError) -> None:
        """Something was or may have been missed: compare everything, and have every watcher list again."""
        log.warning("the cache loads again: %s", failure)
        revision = self._store.revision
        for kept in list(self._kept.values()):
            for subscriber in kept.dispatch.subscribers():
                subscriber.cut(failure)
            gone = {document.key for document in kept.table}
            async for document in self._listed(kept, revision):
                gone.discard(document.key)
                old = kept.table.get(document.name, document.namespace)
                if old is None or old.revision != document.revision:
                    kept.table.apply(document.key, document, document.revision)
            for key in gone:
                kept.table.apply(key, None, revision)
            kept.table.advance(revision)
            kept.ring = Ring(revision)
            kept.loaded = revision
        self._torn = False
        self._reloads += 1
        self._advance(revision)


def _document(resource: str, key: str, value: bytes | None, revision: int) -> Document | None:
    """A stored value as a Document whose key shares its strings with all others of the resource; None for None."""
    if value is None:
        return None
    _, _, namespace, name = key.split("/", 3)
    return Document(Key(resource, sys.intern(namespace), name), stamp(value, revision), revision)
