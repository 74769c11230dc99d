"""One watcher of the cache: what waits for it, and how far it has got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from motet.store.change import WatchEvent
from motet.store.engine import StoreError

Past = AsyncIterator[tuple[Sequence[WatchEvent], int]]
Deliver = Callable[[Sequence[WatchEvent]], None]

# What may wait for a subscriber, in bytes of documents (which it shares with all others).
DEFAULT_LIMIT = 16 * 1024 * 1024


class SlowSubscriber(StoreError):
    """The subscriber did not keep up and was cut off; list again and watch from there."""


class Subscription:
    """Events of one selection, in order, in batches that never split a transaction.

    Two ways to take them: iterate (`async for events in subscription`), or be given them: with `deliver` every batch is
    handed over inside the cache's own turn, nothing is ever held back, and the receiver cuts itself off with `close()`
    when its far end does not keep up. Batches are shared between subscribers: read them, do not change them.
    """

    def __init__(
        self,
        position: int,
        reached: Callable[[], int],
        leave: Callable[[Subscription], None],
        *,
        recent: Sequence[WatchEvent] = (),
        deliver: Deliver | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        """`position`: what is offered up to here is known already. `recent` waits for the subscriber from the start."""
        self._position = position
        self._reached = reached
        self._leave = leave
        self._past: Past | None = None
        self._past_position = 0
        self._deliver = deliver
        self._following = False
        self._limit = limit
        self._waiting: list[Sequence[WatchEvent]] = [recent] if recent else []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._failure: StoreError | None = None
        self._closed = False
        self.on_close: Callable[[StoreError | None], None] | None = None

    def read_first(self, past: Past, after: int) -> None:
        """Have `past` read before all else: batches, each with the revision it reaches, beginning after `after`."""
        self._past, self._past_position = past, after

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def failure(self) -> StoreError | None:
        """Why it was cut off, if it was."""
        return self._failure

    @property
    def revision(self) -> int:
        """Nothing at or below this is outstanding: what a bookmark may say."""
        if self._past is not None:
            return self._past_position
        if self._waiting:
            return self._waiting[0][0].revision - 1
        return max(self._position, self._reached()) if not self._closed else self._position

    def offer(self, events: Sequence[WatchEvent]) -> None:
        """Hand over one batch; what the subscriber has seen already is left out. Called by the cache."""
        if self._closed:
            return
        if events[0].revision <= self._position:
            events = [event for event in events if event.revision > self._position]
            if not events:
                return
        self._position = events[-1].revision
        if self._following and self._deliver is not None:
            self._deliver(events)
            return
        self._waiting.append(events)
        self._size += sum(len(event.document.raw) for event in events)
        if self._size > self._limit:
            self.cut(SlowSubscriber(f"more than {self._limit} bytes of events were waiting; list again"))
        else:
            self._wake()

    def cut(self, failure: StoreError) -> None:
        """End it with an error, which the iteration raises."""
        self._failure = failure
        self._waiting.clear()
        self.close()

    def close(self) -> None:
        """End it; the iteration stops. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._leave(self)
        self._wake()
        if self.on_close is not None:
            self.on_close(self._failure)

    def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]:
        return self

    async def __anext__(self) -> Sequence[WatchEvent]:
        while True:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise StopAsyncIteration
            if self._past is not None:
                if events := await self._next_of_past():
                    return events
            elif self._waiting:
                return self._take()
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None

    async def catch_up(self) -> None:
        """With `deliver`: hand over what lies in the past and whatever gathered meanwhile; then all goes by itself.

        Does not suspend when nothing has to be read from disk. Raises Compacted when that is gone, SlowSubscriber.
        """
        assert self._deliver is not None
        while self._past is not None and not self._closed:
            if events := await self._next_of_past():
                self._deliver(events)
        if self._failure is not None:
            raise self._failure
        self._following = True
        if self._waiting and not self._closed:
            self._deliver(self._take())

    async def _next_of_past(self) -> Sequence[WatchEvent]:
        """One batch of older changes; empty when there are no more (and then the past is over)."""
        assert self._past is not None
        try:
            events, self._past_position = await anext(self._past)
        except StopAsyncIteration:
            self._past = None
            return ()
        except StoreError as failure:
            self.cut(failure)
            raise
        return events

    def _take(self) -> Sequence[WatchEvent]:
        waiting, self._waiting, self._size = self._waiting, [], 0
        if len(waiting) == 1:
            return waiting[0]
        return [event for events in waiting for event in events]

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
