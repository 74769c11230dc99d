"""What happens between a commit and a watcher of the engine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from motet.store.engine import Event

# A watcher this many events behind is sent back to the log instead of being buffered for.
_MOST_BUFFERED = 4096


@dataclass(slots=True)
class Transaction:
    """One accepted submission on its way to the disk. `rows` are the statement's parameters, flat."""

    revision: int
    rows: list[object]
    size: int
    # key, value, created, row id
    written: list[tuple[str, bytes | None, int, int]]
    future: asyncio.Future[int]

    def events(self) -> list[Event]:
        return [Event(key, value, None, created, self.revision) for key, value, created, _ in self.written]


class Feed:
    """One watcher's end: wakes it on every commit and, while it keeps up, holds the events for it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._buffer: deque[tuple[Sequence[Event], int]] = deque()
        self._buffered = 0
        self._live = False
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, events: Sequence[Event], revision: int) -> None:
        """Hand over the events of one commit, the last of which made `revision`."""
        if self._live:
            if self._prefix:
                events = [event for event in events if event.key.startswith(self._prefix)]
            self._buffer.append((events, revision))
            self._buffered += len(events) + 1
            if self._buffered > _MOST_BUFFERED:
                self._live = False
                self._buffer.clear()
        self._wake()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    async def stirred(self) -> None:
        """Return after the next commit, or the end."""
        if not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def go_live(self) -> None:
        """Hold every event from now on for `next`."""
        self._live, self._buffered = True, 0
        self._buffer.clear()

    async def next(self) -> tuple[Sequence[Event], int] | None:
        """The next batch and the revision it reaches; None when too much piled up to hold, or at the end."""
        while not self._buffer:
            if not self._live or self._ended:
                return None
            await self.stirred()
        events, revision = self._buffer.popleft()
        self._buffered -= len(events) + 1
        return events, revision

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
