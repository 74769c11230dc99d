"""Which custom resources are served: the catalogue and the cache follow the definitions in the store.

A definition is served from when its names were accepted until it is gone. Its listener only notes that it changed; a task
does the rest, since a resource's table may have to be loaded first. Whoever finds nothing served under a name waits for
what is noted (`settled`) and looks again, so that nobody sees an established definition and no resource.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from motet.api.custom.conversion import Asking, Converter, Renaming
from motet.api.custom.versions import Shown
from motet.api.registry import Registry
from motet.api.webhooks.client import WebhookClient
from motet.kinds.custom import build, definition
from motet.kinds.kind import Json, Kind
from motet.kinds.schema import table
from motet.kinds.schema.model import Schema
from motet.kinds.shape import mapping, text
from motet.store.cache import Resource
from motet.store.document import Document

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Served:
    """What a definition put into catalogue, cache and schema table; `state` is the part of it that matters here."""

    resource: str
    state: tuple[object, ...]
    kinds: tuple[Kind, ...]
    schemas: Mapping[str, Schema]
    fields: build.SelectableFields


class CustomKinds:
    """One per manager, started when the cache is there and before anybody is answered."""

    def __init__(self, registry: Registry, webhooks: WebhookClient) -> None:
        self._cache = registry.cache
        self._catalogue = registry.catalogue
        self._webhooks = webhooks
        self._definitions = registry.table(definition.KIND)
        self._served: dict[str, _Served] = {}
        self._changed: set[str] = set()
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._task: asyncio.Task[None] | None = None
        self._unlisten: Callable[[], None] | None = None

    async def start(self) -> None:
        """Serve everything that is defined, then follow."""
        for document in self._definitions:
            await self._follow_one(document.name)
        self._unlisten = self._definitions.listen(self._note)
        self._task = asyncio.create_task(self._follow(), name="motet-custom-kinds")

    async def stop(self) -> None:
        if self._unlisten is not None:
            self._unlisten()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for name in list(self._served):
            self._withdraw(name)

    @property
    def busy(self) -> bool:
        """Whether a definition has changed that is not followed yet."""
        return not self._settled.is_set()

    async def settled(self) -> None:
        """Wait until every change of a definition made so far is followed."""
        await self._settled.wait()

    def _note(self, old: Document | None, new: Document | None) -> None:
        document = new or old
        if document is not None:
            self._changed.add(document.name)
            self._settled.clear()
            self._news.set()

    async def _follow(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._changed:
                name = self._changed.pop()
                try:
                    await self._follow_one(name)
                except Exception:  # one definition we cannot serve must not stop the others
                    log.exception("cannot serve what %s defines", name)
            self._settled.set()

    async def _follow_one(self, name: str) -> None:
        document = self._definitions.get(name)
        if document is None or not _accepted(found := document.decode()):
            self._withdraw(name)
            return
        before = self._served.get(name)
        state = _state(found, document)
        if before is not None and before.state == state:
            return
        fields = before.fields if before is not None else build.SelectableFields()
        fields.tell(found)
        resource = f"{text(found, 'spec', 'group')}/{text(found, 'spec', 'names', 'plural')}"
        schemas = build.schemas(found)
        kinds = self._kinds(found, schemas)
        await self._cache.add(Resource(resource, fields=fields))
        self._put(name, _Served(resource, state, tuple(kinds), schemas, fields))

    def _kinds(self, found: Json, schemas: Mapping[str, Schema]) -> list[Kind]:
        converter = self._converter(found)
        storage = f"{text(found, 'spec', 'group')}/{definition.storage_version(found)}"
        return build.kinds(found, schemas, lambda version: Shown(version, storage, schemas, converter))

    def _converter(self, found: Json) -> Converter:
        conversion = mapping(found, "spec", "conversion")
        if text(conversion, "strategy") != "Webhook":
            return Renaming()
        return Asking(self._webhooks, mapping(conversion, "webhook"), text(found, "spec", "names", "kind"))

    def _put(self, name: str, served: _Served) -> None:
        """In one step, so that nobody meets a half of it."""
        before = self._served.get(name)
        for schema in served.schemas.values():
            table.add(schema)
        self._catalogue.replace(before.kinds if before is not None else (), served.kinds)
        for schema in (before.schemas if before is not None else {}).values():
            if schema.name not in {kept.name for kept in served.schemas.values()}:
                table.remove(schema.name)
        self._served[name] = served

    def _withdraw(self, name: str) -> None:
        served = self._served.pop(name, None)
        if served is None:
            return
        self._catalogue.replace(served.kinds, ())
        self._cache.remove(served.resource)
        for schema in served.schemas.values():
            table.remove(schema.name)


def _accepted(found: Json) -> bool:
    """Whether it is to be served: its names are its own, or were when it was established."""
    return definition.TRUE in (
        definition.condition(found, definition.NAMES_ACCEPTED),
        definition.condition(found, definition.ESTABLISHED),
    )


def _state(found: Json, document: Document) -> tuple[object, ...]:
    """What of a definition decides how it is served. Its generation counts every change of the spec."""
    names = mapping(found, "status", "acceptedNames")
    return document.meta.uid, document.meta.generation, repr(names), definition.condition(found, definition.TERMINATING)
