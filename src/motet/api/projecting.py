"""Kinds that show stored documents otherwise than they are kept.

Those of another kind: events.k8s.io shows the core group's Events. What is sent is rewritten before anything else happens
to it, what is answered is rewritten last (`Kind.projection`). Those of another version: custom resources are kept in one
version and shown in all (`Kind.versions`). Other kinds pass through untouched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from motet.api.listing import Page
from motet.base.errors import BadRequest
from motet.base.selectors import FieldSelector, FieldTerm
from motet.kinds.kind import Json, Kind
from motet.store.cache import WatchEvent
from motet.store.document import Document, encode, stamp
from motet.store.subscription import Deliver, Subscription

# Documents rewritten before other requests get their turn.
_SLICE = 250


def stored_kind(kind: Kind) -> Kind:
    """The kind that documents are kept as."""
    return kind if kind.projection is None else kind.projection.of


def received(kind: Kind, document: Json) -> None:
    """Rewrite a document that was sent to the form it is kept in, in place. Raises BadRequest."""
    if kind.projection is None:
        return
    if document.get("kind", kind.kind) != kind.kind or document.get("apiVersion", kind.api_version) != kind.api_version:
        raise BadRequest(f"the object provided is not a {kind.kind} of {kind.api_version}")
    kind.projection.write(document)


async def shown(kind: Kind, document: Document) -> Document:
    """A stored document in the form, and the version, it is shown in. Raises InternalError when nobody can convert it."""
    if kind.versions is not None:
        return kind.versions.ready(document) or (await kind.versions.show([document]))[0]
    return _projected(kind, document)


async def shown_all(kind: Kind, documents: Sequence[Document]) -> Sequence[Document]:
    """The same for many, in slices so that a long list holds up nobody."""
    if kind.versions is not None and kind.versions.waits:
        return await kind.versions.show(documents)
    if kind.versions is None and kind.projection is None:
        return documents
    found: list[Document] = []
    for start in range(0, len(documents), _SLICE):
        if start:
            await asyncio.sleep(0)
        found += [_at_once(kind, document) for document in documents[start : start + _SLICE]]
    return found


async def shown_page(kind: Kind, page: Page) -> Page:
    return replace(page, documents=await shown_all(kind, page.documents))


async def kept(kind: Kind, document: Json) -> Json:
    """A document in the version it is stored in. Raises InternalError, Invalid."""
    return document if kind.versions is None else await kind.versions.keep(document)


def as_stored(kind: Kind) -> bool:
    """Whether stored documents are shown as they are."""
    return kind.projection is None and kind.versions is None


def _at_once(kind: Kind, document: Document) -> Document:
    if kind.versions is not None:
        ready = kind.versions.ready(document)
        assert ready is not None, "only kinds that wait for nobody come here"
        return ready
    return _projected(kind, document)


def _projected(kind: Kind, document: Document) -> Document:
    if kind.projection is None:
        return document
    decoded = document.decode()
    kind.projection.read(decoded)
    return Document(document.key, stamp(encode(decoded), document.revision), document.revision)


def stored_fields(kind: Kind, fields: FieldSelector) -> FieldSelector:
    """A field selector over stored documents."""
    if kind.projection is None or not fields:
        return fields
    paths = kind.projection.field_paths
    return FieldSelector(
        tuple(FieldTerm(paths.get(term.path, term.path), term.value, term.negated) for term in fields.terms)
    )


def shown_delivery(kind: Kind, deliver: Deliver) -> Deliver:
    """For kinds that wait for nobody: events rewritten on their way."""
    return lambda events: deliver([WatchEvent(event.type, _at_once(kind, event.document)) for event in events])


class ShownEvents:
    """A subscription whose documents are rewritten on their way out."""

    def __init__(self, kind: Kind, stored: Subscription) -> None:
        self._kind = kind
        self._stored = stored

    @property
    def revision(self) -> int:
        return self._stored.revision

    def close(self) -> None:
        self._stored.close()

    async def catch_up(self) -> None:
        await self._stored.catch_up()

    def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]:
        return self

    async def __anext__(self) -> Sequence[WatchEvent]:
        events = await anext(self._stored)
        documents = await shown_all(self._kind, [event.document for event in events])
        return [WatchEvent(event.type, document) for event, document in zip(events, documents, strict=True)]
