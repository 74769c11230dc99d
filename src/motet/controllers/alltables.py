"""The tables of every kind there is, while kinds come and go: for loops that look at all objects whatever they are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind
from motet.store.table import Table

_log = logging.getLogger("motet.controllers")

# Called with a table that joins; the function it returns is called when that table goes.
Join = Callable[[Kind, Table], Callable[[], None]]


def _nothing(kind: Kind, table: Table) -> Callable[[], None]:
    return lambda: None


def _all(kind: Kind) -> bool:
    return True


class AllTables:
    """Keeps `tables` (by resource) true to a catalogue inside an `async with`. One table per resource, however many versions.

    `which` says which kinds are wanted.
    """

    def __init__(
        self,
        client: Client,
        catalogue: Catalogue,
        tables: dict[str, tuple[Kind, Table]],
        join: Join = _nothing,
        which: Callable[[Kind], bool] = _all,
    ) -> None:
        self._client = client
        self._catalogue = catalogue
        self._tables = tables
        self._join = join
        self._which = which
        self._leave: dict[str, Callable[[], None]] = {}
        self._changed = asyncio.Event()
        self._unlisten: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AllTables:
        self._unlisten = self._catalogue.listen(self._changed.set)
        await self._follow_once()
        self._task = asyncio.create_task(self._follow(), name="tables of all kinds")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unlisten()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for leave in self._leave.values():
            leave()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._follow_once()
            except Exception:  # the next change looks again
                _log.exception("cannot follow the kinds that are served")

    async def _follow_once(self) -> None:
        kinds = [kind for kind in self._catalogue if kind.projection is None and self._which(kind)]
        # Of several versions, the first.
        served = {kind.resource: kind for kind in reversed(kinds)}
        for resource, kind in served.items():
            known = self._tables.get(resource)
            if known is not None and known[0] is kind:
                continue
            with contextlib.suppress(NotFound):  # gone again already
                table = await self._client.table(kind)
                self._tables[resource] = (kind, table)
                if known is None or known[1] is not table:
                    self._leave.pop(resource, _none)()
                    self._leave[resource] = self._join(kind, table)
        for resource in self._tables.keys() - served.keys():
            del self._tables[resource]
            self._leave.pop(resource, _none)()


def _none() -> None:
    return None
