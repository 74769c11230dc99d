"""Stored custom resources as one of their versions shows them (`Kind.versions`).

What lies in the store may be in any version that was ever the storage version, and older than the schema. When it is read
it loses what its own version's schema does not know, gets the defaults it misses, and is turned into the version asked
for; none of this is written back. Most documents need nothing of it, which is found out once for each and remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from motet.api.custom.conversion import Converter
from motet.kinds.kind import Json
from motet.kinds.schema import structural, tidy
from motet.kinds.schema.gate import gate
from motet.kinds.schema.model import Schema
from motet.store.document import Document, encode, stamp


class _Named(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    api_version: str = ""


class Shown:
    """One version of a resource, in one state of its definition. `schemas` are those of all versions, by apiVersion."""

    def __init__(self, api_version: str, storage: str, schemas: Mapping[str, Schema], converter: Converter) -> None:
        self.waits = converter.waits
        self._api_version = api_version
        self._storage = storage
        self._schemas = schemas
        self._converter = converter

    def ready(self, document: Document) -> Document | None:
        if self.waits and document.view(_Named).api_version != self._api_version:
            return document.remembered(self._api_version, self)
        found = document.remembered(self._api_version, self)
        if found is None:
            found = self._make(document)
            document.remember(self._api_version, self, found)
        return found

    async def show(self, documents: Sequence[Document]) -> Sequence[Document]:
        found: dict[int, Document] = {}
        waiting: list[int] = []
        for index, document in enumerate(documents):
            if (ready := self.ready(document)) is not None:
                found[index] = ready
            else:
                waiting.append(index)
        if waiting:
            mended = [self._mended(documents[index].decode()) for index in waiting]
            for index, made in zip(waiting, await self._converter.convert(mended, self._api_version), strict=True):
                document = documents[index]
                shown = _document(document, made)
                document.remember(self._api_version, self, shown)
                found[index] = shown
        return [found[index] for index in range(len(documents))]

    async def take(self, document: Json) -> Json:
        return await self._converted(document, self._api_version)

    async def keep(self, document: Json) -> Json:
        return await self._converted(document, self._storage)

    async def _converted(self, document: Json, api_version: str) -> Json:
        if self.waits:
            return (await self._converter.convert([document], api_version))[0]
        return self._converter.rename(document, api_version)

    def _make(self, document: Document) -> Document:
        """The document as this version shows it, when nobody has to be asked."""
        decoded = document.decode()
        made = self._mended(decoded)
        if not self.waits:
            made = self._converter.rename(made, self._api_version)
        return document if made is decoded else _document(document, made)

    def _mended(self, document: Json) -> Json:
        """Pruned and defaulted by the schema of the version it is in."""
        schema = self._schemas.get(str(document.get("apiVersion")))
        if schema is None:  # a version that is not in the definition any more
            return document
        pruned: Json = document if gate(schema)(document) else tidy.prune(schema, document)
        filled: Json = structural.fill_defaults(schema, pruned)
        return filled


def _document(stored: Document, made: Json) -> Document:
    return Document(stored.key, stamp(encode(made), stored.revision), stored.revision)
