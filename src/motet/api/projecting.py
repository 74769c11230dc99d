"""Kinds that show the stored documents of another kind: events.k8s.io shows the core group's Events.

What is sent is rewritten before anything else happens to it, what is answered is rewritten last (`Kind.projection`).
Kinds without a projection pass through untouched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from motet.api.listing import Page
from motet.base.errors import BadRequest
from motet.base.selectors import FieldSelector, FieldTerm
from motet.kinds.kind import Json, Kind
from motet.store.cache import WatchEvent
from motet.store.document import Document, encode, stamp
from motet.store.subscription import Deliver, Subscription


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


def shown(kind: Kind, document: Document) -> Document:
    """A document in the form it is shown in."""
    if kind.projection is None:
        return document
    decoded = document.decode()
    kind.projection.read(decoded)
    return Document(document.key, stamp(encode(decoded), document.revision), document.revision)


def shown_page(kind: Kind, page: Page) -> Page:
    if kind.projection is None:
        return page
    return replace(page, documents=[shown(kind, document) for document in page.documents])


def stored_fields(kind: Kind, fields: FieldSelector) -> FieldSelector:
    """A field selector over stored documents."""
    if kind.projection is None or not fields:
        return fields
    paths = kind.projection.field_paths
    return FieldSelector(
        tuple(FieldTerm(paths.get(term.path, term.path), term.value, term.negated) for term in fields.terms)
    )


def shown_events(kind: Kind, events: Sequence[WatchEvent]) -> list[WatchEvent]:
    return [WatchEvent(event.type, shown(kind, event.document)) for event in events]


def shown_delivery(kind: Kind, deliver: Deliver) -> Deliver:
    return lambda events: deliver(shown_events(kind, events))


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
        return shown_events(self._kind, await anext(self._stored))
