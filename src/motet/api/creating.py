"""New documents: through the pipeline, then into the store under a name that nobody has."""

from __future__ import annotations

from typing import Final

from motet.api import meta, ownership
from motet.api.admission import Held, release
from motet.api.options import ASKING_NOTHING, RequestOptions
from motet.api.pipeline import Pipeline, namespace_of
from motet.api.projecting import kept, received, shown, stored_kind
from motet.api.users import User
from motet.api.writing import Writer
from motet.base import names
from motet.base.errors import AlreadyExists, MethodNotAllowed, already_exists
from motet.kinds.kind import Json, Kind
from motet.store.document import Document, Key
from motet.store.engine import RevisionConflict

# How many generated names are tried, and how often an apply looks again whether somebody else was first.
ATTEMPTS: Final = 8


class Creator:
    """One per registry."""

    def __init__(self, pipeline: Pipeline, writer: Writer) -> None:
        self._pipeline = pipeline
        self._writer = writer

    async def create(
        self,
        kind: Kind,
        namespace: str,
        document: Json,
        user: User,
        options: RequestOptions = ASKING_NOTHING,
        *,
        name: str = "",
        applied: bool = False,
    ) -> Document:
        """`applied`: the document is the outcome of a server-side apply.

        Raises AlreadyExists, BadRequest, Forbidden, Invalid, MethodNotAllowed, NotFound (its namespace).
        """
        if kind.closed:
            raise MethodNotAllowed(kind.closed)
        received(kind, document)
        if kind.projection is not None:
            options = ownership.untracked(options)
        seen, kind = kind, stored_kind(kind)
        namespace = namespace_of(kind, namespace)
        sent = meta.of(document)
        generated = not sent.get("name") and not name and bool(sent.get("generateName"))
        held: Held = []
        try:
            document = await self._pipeline.new(
                kind, namespace, document, user, options, name, held=held, applied=applied
            )
            return await shown(seen, await self._keep(kind, namespace, document, options, generated=generated))
        finally:
            release(held)

    async def _keep(
        self, kind: Kind, namespace: str, document: Json, options: RequestOptions, *, generated: bool
    ) -> Document:
        """Write a new document, under another name should the generated one be taken. Raises AlreadyExists."""
        metadata = document["metadata"]
        for _ in range(ATTEMPTS if generated else 1):
            key = Key(kind.resource, namespace, metadata["name"])
            taken = self._writer.table(kind).get(key.name, namespace)
            if taken is None:
                try:
                    made = await kept(kind, document)
                    return await self._writer.create(kind, key, made, dry_run=options.dry_run)
                except RevisionConflict:
                    pass
            if generated:
                metadata["name"] = names.generate(metadata["generateName"])
        error = already_exists(kind.group, kind.plural, metadata["name"])
        if taken is not None and taken.meta.deletion_timestamp:
            error = AlreadyExists(f"object is being deleted: {error.message}", details=error.details)
        raise error
