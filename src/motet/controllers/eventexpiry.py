"""Events go when nobody has told of them for an hour: they are a courtesy, not a record (upstream's `--event-ttl`).

Upstream lets its store forget them, counted from the last write. Here the times that stand in an event say when that was, so it
holds after a restart and for a restored backup, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Final

import msgspec

from motet.base import timestamps
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers import podview
from motet.controllers.loop import Controller
from motet.kinds import event as event_kind
from motet.store.document import Document
from motet.store.table import Table

KEPT: Final = timedelta(hours=1)
_EVERY_SECONDS: Final = 60.0
# How many are looked at, or deleted, before others have their turn.
_AT_A_TIME: Final = 64


class _Series(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    last_observed_time: str | None = None


class _Times(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """When it happened, in the older style and in the newer."""

    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    series: _Series | None = None


def is_old(event: Document, now: datetime) -> bool:
    """Whether nobody has told of it for an hour. A time yet to come, which a wrong clock wrote, counts for nothing."""
    oldest = now - KEPT
    made = event.meta.creation_timestamp
    # Times of one form compare as text.
    if made and made > timestamps.format_time(oldest):
        return False
    view = event.view(_Times)
    repeated = view.series.last_observed_time if view.series is not None else None
    told = (view.first_timestamp, view.last_timestamp, view.event_time, repeated)
    return not any(oldest < podview.instant(time) <= now for time in told if time)


class EventExpiry:
    """A single sweep, repeated."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._events: Table

    async def run(self) -> None:
        """Sweep until cancelled."""
        self._events = await self._client.table(event_kind.KIND)
        loop: Controller[str] = Controller("event-expiry", self.reconcile, clock=self._clock)
        loop.enqueue("sweep")
        await loop.run()

    async def reconcile(self, _: str) -> float:
        """One sweep."""
        events, now = list(self._events), self._clock.now()
        for start in range(0, len(events), _AT_A_TIME):
            old = [event for event in events[start : start + _AT_A_TIME] if is_old(event, now)]
            await asyncio.gather(*(self._delete(event) for event in old))
            await asyncio.sleep(0)
        return _EVERY_SECONDS

    async def _delete(self, event: Document) -> None:
        with contextlib.suppress(NotFound):
            await self._client.delete(event_kind.KIND, event.name, event.namespace, uid=event.meta.uid)
