"""Changes of documents that are there: PUT, PATCH and server-side apply, and of their subresources.

Each is a decision from the current document to the next one, taken again whenever another write was faster (`Writer.modify`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from motet.api import deletion, meta, ownership, patching, scale, shortcuts
from motet.api.admission import Held, release
from motet.api.creating import ATTEMPTS, Creator
from motet.api.deletion import GONE, UNCHANGED, Fate
from motet.api.options import ASKING_NOTHING, PatchType, RequestOptions
from motet.api.patch import merge_patch
from motet.api.pipeline import Pipeline, namespace_of
from motet.api.projecting import kept, received, shown, stored_kind
from motet.api.users import User
from motet.api.views import check_subresource, view
from motet.api.writing import Decide, Writer
from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, NotFound, conflict
from motet.kinds.kind import Json, Kind
from motet.kinds.schema.gate import Gate
from motet.store.document import Document


class Changer:
    """One per registry."""

    def __init__(self, creator: Creator, pipeline: Pipeline, writer: Writer, clock: Clock) -> None:
        self._creator = creator
        self._pipeline = pipeline
        self._writer = writer
        self._clock = clock

    async def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        document: Json,
        user: User,
        options: RequestOptions = ASKING_NOTHING,
        *,
        subresource: str = "",
    ) -> tuple[Document, bool]:
        """PUT: the document, and whether it was created. `subresource` is "", status, scale, finalize or an aspect.

        Without metadata.resourceVersion the last writer wins. Raises BadRequest, Conflict, Forbidden, Invalid, NotFound.
        """
        received(kind, document)
        if kind.projection is not None:
            options = ownership.untracked(options)
        seen, kind = kind, stored_kind(kind)
        check_subresource(kind, subresource)
        namespace = namespace_of(kind, namespace)
        if kind.create_on_update and not subresource and self._writer.table(kind).get(name, namespace) is None:
            meta.of(document).pop("resourceVersion", None)
            created = await self._creator.create(kind, namespace, document, user, options, name=name)
            return await shown(seen, created), True
        # Deciding takes the document over, and without a resourceVersion may have to be done again.
        pinned = meta.of(document).get("resourceVersion") not in (None, "", "0")
        pristine = None if pinned else msgspec.json.encode(document)
        first: Json | None = document
        short = self._short_status(kind, subresource)
        held: Held = []

        async def decide(current: Document) -> Json | bytes | Fate:
            nonlocal first
            if short is not None:
                value = self._put_status(kind, current, first or {}, short, options)
                if value is not None:
                    return value
            if first is not None:
                sent, first = first, None
            elif pristine is not None:
                sent = msgspec.json.decode(pristine)
            else:
                raise conflict(kind.group, kind.plural, name)
            now = await shown(kind, current)
            return await self._replace(kind, current, now, now.decode(), sent, user, options, subresource, held=held)

        changed = await self._modified(kind, namespace, name, decide, held, dry_run=options.dry_run)
        return await view(seen, changed, subresource), False

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Any,
        patch_type: PatchType,
        user: User,
        options: RequestOptions = ASKING_NOTHING,
        *,
        subresource: str = "",
    ) -> tuple[Document, bool]:
        """PATCH: the document, and whether it was created (server-side apply). A patch of nothing writes nothing.

        Raises BadRequest, Conflict, Forbidden, Invalid, NotFound, UnsupportedMediaType.
        """
        if patch_type == PatchType.APPLY:
            return await self._apply(kind, namespace, name, patch, user, options, subresource)
        if kind.projection is not None:
            options = ownership.untracked(options)
        seen, kind = kind, stored_kind(kind)
        check_subresource(kind, subresource)
        namespace = namespace_of(kind, namespace)
        short = self._short_status(kind, subresource)
        if short is not None and not (patch_type == PatchType.MERGE and shortcuts.only_status(patch)):
            short = None
        held: Held = []

        async def decide(current: Document) -> Json | bytes | Fate:
            if short is not None:
                parts, before = shortcuts.current_status(current)
                merged = merge_patch(before, patch["status"])
                value = self._with_status(kind, current, parts, before, merged, short, options)
                if value is not None:
                    return value
            now = await shown(kind, current)
            old = now.decode()
            target = scale.show(kind, old) if subresource == "scale" else now.decode()
            sent = patching.patched(seen, target, patch, patch_type, subresource)
            return await self._replace(kind, current, now, old, sent, user, options, subresource, held=held)

        changed = await self._modified(kind, namespace, name, decide, held, dry_run=options.dry_run)
        return await view(seen, changed, subresource), False

    async def _apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Any,
        user: User,
        options: RequestOptions,
        subresource: str,
    ) -> tuple[Document, bool]:
        """Server-side apply: make it so, and own it. Raises Conflict naming the fields that others own."""
        config = ownership.configuration(kind, body, name, options, subresource)
        check_subresource(kind, subresource)
        namespace = namespace_of(kind, namespace)
        held: Held = []

        async def decide(current: Document) -> Json | bytes | Fate:
            seen = await shown(kind, current)
            wanted = ownership.applied(kind, seen.decode(), config, options, self._clock.now(), subresource)
            return await self._replace(
                kind, current, seen, seen.decode(), wanted, user, options, subresource, held=held, applied=True
            )

        for _ in range(ATTEMPTS):
            there = self._writer.table(kind).get(name, namespace) is not None
            try:
                if there or subresource:
                    changed = await self._modified(kind, namespace, name, decide, held, dry_run=options.dry_run)
                    return await shown(kind, changed), False
                fresh = ownership.applied(kind, {}, config, options, self._clock.now())
                return await self._creator.create(kind, namespace, fresh, user, options, name=name, applied=True), True
            except (AlreadyExists, NotFound):
                # Unless somebody else made it, or took it away, since we looked, that is the answer.
                if subresource or there == (self._writer.table(kind).get(name, namespace) is not None):
                    raise
        raise conflict(kind.group, kind.plural, name)

    # The way of every change

    def _short_status(self, kind: Kind, subresource: str) -> Gate | None:
        return shortcuts.status_gate(kind) if subresource == "status" and self._pipeline.plain_status(kind) else None

    def _with_status(
        self,
        kind: Kind,
        current: Document,
        parts: dict[str, msgspec.Raw],
        old: Json,
        new: Json,
        check: Gate,
        options: RequestOptions,
    ) -> bytes | Fate | None:
        """The value with another status, entered in the books if it has any; None when it takes the long way."""
        if new != old and ownership.tracked(kind, options) and ownership.kept(current):
            parts["metadata"] = ownership.of_status(kind, parts["metadata"], old, new, options, self._clock.now())
        return shortcuts.with_status(parts, old, new, check)

    def _put_status(
        self, kind: Kind, current: Document, sent: Json, check: Gate, options: RequestOptions
    ) -> bytes | Fate | None:
        """A PUT of status by the short way; None when it takes the long one, which also finds what is wrong with it."""
        metadata, status = sent.get("metadata"), sent.get("status")
        if not isinstance(metadata, dict) or not isinstance(status, dict):
            return None
        same = (
            sent.get("kind") in (None, kind.kind)
            and metadata.get("uid") in (None, current.meta.uid)
            and metadata.get("name") in (None, current.name)
            and metadata.get("namespace") in (None, current.namespace)
            and metadata.get("resourceVersion") in (None, "", str(current.revision))
            and (metadata.get("labels") or None) == (current.meta.labels or None)
            and (metadata.get("annotations") or None) == (current.meta.annotations or None)
        )
        if not same:
            return None
        parts, before = shortcuts.current_status(current)
        return self._with_status(kind, current, parts, before, status, check, options)

    async def _modified(
        self, kind: Kind, namespace: str, name: str, decide: Decide, held: Held, *, dry_run: bool
    ) -> Document:
        """`Writer.modify`, and what was set aside for the write let go of."""
        try:
            changed, _ = await self._writer.modify(kind, namespace, name, decide, dry_run=dry_run)
            return changed
        finally:
            release(held)

    async def _replace(
        self,
        kind: Kind,
        stored: Document,
        current: Document,
        old: Json,
        sent: Json,
        user: User,
        options: RequestOptions,
        subresource: str,
        *,
        held: Held,
        applied: bool = False,
    ) -> Json | Fate:
        """What an update (or a patch's outcome) makes of the current document, which is `stored` in the kind's version."""
        release(held)  # An attempt before this one may have lost its race.
        if subresource == "scale":
            revision = meta.of(sent).get("resourceVersion") or ""
            sent = scale.written(kind, current.decode(), sent)
            sent["metadata"]["resourceVersion"] = revision
        elif subresource == "finalize":
            revision = meta.of(sent).get("resourceVersion") or ""
            spec = sent.get("spec")
            finalizers = spec.get("finalizers") if isinstance(spec, dict) else None
            sent = current.decode()
            sent["metadata"]["resourceVersion"] = revision
            sent["spec"] = {**(sent.get("spec") or {}), "finalizers": finalizers or []}
        document = await self._pipeline.changed(
            kind, current, old, sent, user, options, subresource, held=held, applied=applied
        )
        if document == old and kind.versions is None:
            return UNCHANGED
        if deletion.finished(kind, document):
            return GONE
        made = await kept(kind, document)
        # One that is shown otherwise than it is stored is written anew: that is how objects get into another version.
        return UNCHANGED if kind.versions is not None and made == stored.decode() else made
