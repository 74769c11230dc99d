"""The one shape of a control loop: tables tell which keys changed, a queue calms them down, `reconcile` does the work.

A listener never does more than name keys. The queue holds each key at most once; a key that changes while it is being
reconciled runs once more afterwards, so the last state always wins and one key never runs twice at a time. A failing key
backs off by itself without holding up the others.

No bookkeeping of expected events is needed: the in-process client returns from a write only after the tables have it, so
the next `reconcile` of a key sees what the last one did (client-go needs "expectations" because its caches lag).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, Conflict, MotetError, namespace_terminates
from motet.store.document import Document
from motet.store.table import Table

K = TypeVar("K", bound=Hashable)


class TryAgain(MotetError):
    """Raised by a `reconcile` that could not finish for a reason already told: back off, no traceback."""


# What most loops call a key: (namespace, name).
ObjectKey = tuple[str, str]

# A key's first retry comes after 5 ms and each further one twice as late, as client-go's default limiter has it.
_FIRST_RETRY = 0.005
_LONGEST_RETRY = 60.0
# Nothing can be made for a key whose namespace is being deleted: its own deletion, which comes next, is seen at once.
_LAST_LOOK = 5.0


def own_key(old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
    """The usual mapping: the changed object is the one to reconcile."""
    document = new or old
    return () if document is None else ((document.namespace, document.name),)


def owner_key(kind: str) -> Callable[[Document | None, Document | None], Iterable[ObjectKey]]:
    """Map an object to the object of `kind` that controls it, now or until this change."""

    def keys(old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        found = None
        for document in (new, old):
            if document is None:
                continue
            owner = document.meta.controller()
            if owner is not None and owner.kind == kind and owner.name != found:
                found = owner.name
                yield document.namespace, found

    return keys


@dataclass(frozen=True, slots=True)
class _Source(Generic[K]):
    table: Table
    keys: Callable[[Document | None, Document | None], Iterable[K]]


class Controller(Generic[K]):
    """A reconcile loop over keys of type `K`.

    `reconcile(key)` returns the number of seconds after which to look again, or None for "when something changes".
    `parallelism` keys run at a time. `pace` seconds pass at least between two runs of one key: the first change after a
    quiet spell is handled at once, a storm of changes is handled `1/pace` times a second.
    """

    def __init__(
        self,
        name: str,
        reconcile: Callable[[K], Awaitable[float | None]],
        *,
        clock: Clock,
        parallelism: int = 4,
        pace: float = 0.0,
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._clock = clock
        self._parallelism = parallelism
        self._pace = pace
        self._log = logging.getLogger(f"motet.controllers.{name}")
        self._sources: list[_Source[K]] = []
        self._stops: dict[int, Callable[[], None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._clear()

    def _clear(self) -> None:
        self._ready: deque[K] = deque()
        self._queued: set[K] = set()
        self._busy: set[K] = set()  # running, or resting after a run
        self._again: set[K] = set()  # changed while busy
        self._running = 0
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._timers: list[tuple[float, int, K, bool]] = []  # (when, tie-break, key, ends a rest)
        self._order = itertools.count()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = float("inf")

    def watch(
        self, table: Table, keys: Callable[[Document | None, Document | None], Iterable[K]]
    ) -> Callable[[], None]:
        """Reconcile `keys(old, new)` whenever `table` changes, and `keys(None, each)` at the start.

        Tables may join while the loop runs; the returned function lets one go.
        """
        source = _Source(table, keys)
        self._sources.append(source)
        if self._group is not None:
            self._join(source)

        def leave() -> None:
            if source in self._sources:
                self._sources.remove(source)
            stop = self._stops.pop(id(source), None)
            if stop is not None:
                stop()

        return leave

    def enqueue(self, key: K, after: float = 0.0) -> None:
        """Reconcile `key` now, or `after` seconds from now unless it runs earlier anyway."""
        if after > 0:
            when = self._clock.monotonic() + after
            if when < self._due.get(key, float("inf")):
                self._due[key] = when
                self._set_timer(when, key, ends_rest=False)
        elif key in self._busy:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._pump()

    def idle(self) -> bool:
        """Nothing is running, ready or resting with news; timers for later may remain."""
        return not (self._ready or self._running or self._again)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for source in self._sources:
                    self._join(source)
                self._pump()
                self._set_alarm()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    self._group = None  # what is cancelled now must start nothing new
        finally:
            for stop in self._stops.values():
                stop()
            self._stops.clear()
            self._group = None
            self._clear()

    def _join(self, source: _Source[K]) -> None:
        changed = self._listener(source)
        self._stops[id(source)] = source.table.listen(changed)
        for document in source.table:
            changed(None, document)

    def _listener(self, source: _Source[K]) -> Callable[[Document | None, Document | None], None]:
        keys, enqueue = source.keys, self.enqueue

        def changed(old: Document | None, new: Document | None) -> None:
            try:
                for key in keys(old, new):
                    enqueue(key)
            except Exception:  # runs inside whoever writes: one document we cannot read must not stop them
                self._log.exception("cannot tell what %s concerns", new or old)

        return changed

    def _pump(self) -> None:
        while self._group is not None and self._ready and self._running < self._parallelism:
            key = self._ready.popleft()
            self._queued.discard(key)
            self._busy.add(key)
            self._due.pop(key, None)  # this run looks at everything and says anew when to come back
            self._running += 1
            self._group.create_task(self._work(key), name=f"{self.name} {key}")

    async def _work(self, key: K) -> None:
        again: float | None = None
        try:
            again = await self._reconcile(key)
        except (Conflict, AlreadyExists) as error:
            self._log.debug("%s: %s; looking again", key, error)
            again = self._failed(key)
        except TryAgain as error:
            again = self._failed(key)
            self._log.info("%s: %s; trying again in %.3g s", key, error, again)
        except Exception as error:
            if namespace_terminates(error):
                self._log.debug("%s: its namespace is being deleted", key)
                again = max(self._failed(key), _LAST_LOOK)
            else:
                again = self._failed(key)
                self._log.exception("reconciling %s failed; trying again in %.3g s", key, again)
        else:
            self._failures.pop(key, None)
        finally:
            self._running -= 1
            self._finished(key)
        if again is not None:
            self.enqueue(key, max(again, 0.001))
        self._pump()

    def _failed(self, key: K) -> float:
        times = self._failures.get(key, 0)
        self._failures[key] = times + 1
        delay = float(min(_FIRST_RETRY * 2 ** min(times, 30), _LONGEST_RETRY))
        return delay * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret

    def _finished(self, key: K) -> None:
        if self._pace > 0:
            self._set_timer(self._clock.monotonic() + self._pace, key, ends_rest=True)
        else:
            self._rested(key)

    def _rested(self, key: K) -> None:
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.enqueue(key)

    def _set_timer(self, when: float, key: K, *, ends_rest: bool) -> None:
        heapq.heappush(self._timers, (when, next(self._order), key, ends_rest))
        if when < self._alarm_at:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = float("inf")
        if self._timers and self._group is not None:
            self._alarm_at = self._timers[0][0]
            self._alarm = self._group.create_task(self._ring(self._alarm_at), name=f"{self.name} timer")

    async def _ring(self, when: float) -> None:
        await self._clock.sleep(when - self._clock.monotonic())
        self._alarm, self._alarm_at = None, float("inf")
        now = self._clock.monotonic()
        while self._timers and self._timers[0][0] <= max(now, when):
            due, _, key, ends_rest = heapq.heappop(self._timers)
            if ends_rest:
                self._rested(key)
            elif self._due.get(key) == due:  # otherwise an earlier run made this timer obsolete
                del self._due[key]
                self.enqueue(key)
        if self._alarm is None:
            self._set_alarm()
