"""From the kernel's watches to the log of events. It begins when somebody first speaks Docker with this manager."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterator

from motet.base.clock import Clock
from motet.base.errors import ApiError
from motet.client.remote import RemoteClient
from motet.dialects.docker.events.derive import KINDS
from motet.dialects.docker.events.log import Event, EventLog
from motet.store.document import Document

_log = logging.getLogger("motet.docker.events")
_AGAIN = 1.0

Derive = Callable[[Document | None, Document | None], Iterator[Event]]


class Recorder:
    """One table for each kind that makes events. `connect` makes a client that may see everything."""

    def __init__(self, log: EventLog, connect: Callable[[], RemoteClient], clock: Clock, namespace: str) -> None:
        self._noted = log
        self._connect = connect
        self._clock = clock
        self._namespace = namespace
        self._client: RemoteClient | None = None
        self._beginning: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Watch from now on; does nothing the second time."""
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._begin(), name="docker events")

    async def begun(self) -> None:
        """Return once nothing that happens from now on is missed."""
        self.begin()
        assert self._beginning is not None
        await asyncio.shield(self._beginning)

    async def stop(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def _begin(self) -> None:
        client = self._client = self._connect()
        for _, kind, derive in KINDS:
            while True:
                try:
                    table = await client.table(kind, self._namespace if kind.namespaced else "")
                    break
                except ApiError as error:
                    _log.warning("events of %s are not seen yet: %s", kind.plural, error)
                    await self._clock.sleep(_AGAIN)
            table.listen(self._note_with(derive))

    def _note_with(self, derive: Derive) -> Callable[[Document | None, Document | None], None]:
        def note(old: Document | None, new: Document | None) -> None:
            at = self._clock.now().timestamp()
            for event in derive(old, new):
                self._noted.note(dataclasses.replace(event, at=at))

        return note
