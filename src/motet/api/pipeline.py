"""From what a caller sent to what may be stored: the stages of a write, in order.

create: identify, schema, default, enter in the books, mutate, prepare, metadata, validate, admit.
update: identify, schema, carry over what the server owns, default, enter in the books, mutate, prepare, generation,
validate, admit.
Nothing here touches the store; the registry encodes and submits what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motet.api import intake, meta, ownership
from motet.api.admission import Chain, Held, Lookup, Request, Verb
from motet.api.options import DeleteOptions, RequestOptions
from motet.api.shortcuts import Templates
from motet.api.users import User
from motet.base import names
from motet.base.clock import Clock
from motet.base.errors import BadRequest, FieldError, invalid_object
from motet.kinds.kind import Json, Kind
from motet.kinds.metadata import validate_metadata, validate_metadata_update
from motet.store.document import Document


class Pipeline:
    """The stages with what they need: admission plugins, the cache's tables, the clock."""

    def __init__(self, admission: Chain, lookup: Lookup, clock: Clock) -> None:
        self._admission = admission
        self._lookup = lookup
        self._clock = clock
        self._templates = Templates()

    def plain_status(self, kind: Kind) -> bool:
        """Whether nobody but the schema has a say in status writes of a kind."""
        return not self._admission.watchful(kind.resource, "UPDATE", "status")

    async def new(
        self,
        kind: Kind,
        namespace: str,
        document: Json,
        user: User,
        options: RequestOptions,
        name: str = "",
        *,
        held: Held,
        applied: bool = False,
    ) -> Json:
        """A document ready to be created. Takes over `document`. Raises BadRequest, Forbidden, Invalid.

        `held` gets what has to be called when the write has ended. `applied`: it is the outcome of a server-side apply and
        has its books already.
        """
        meta.identify(kind, document)
        tracked = not applied and ownership.tracked(kind, options)
        spec = self._template(kind, namespace, document, tracked=tracked)
        finished = self._templates.recall(spec, document) if spec else None
        sent = document
        document = finished or intake.receive(kind, sent, options)
        # What had to be cleaned has something to be told about, each time it is sent.
        remembered = bool(spec) and finished is None and document is sent
        metadata = document.setdefault("metadata", {})
        meta.place(kind, metadata, namespace, name)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = names.generate(metadata["generateName"])
        request = self._request(kind, "CREATE", namespace, document, None, user, options, "", held)
        if not applied:
            metadata.pop("managedFields", None)
        known = self._templates.recalled(spec) if finished is not None else None
        owned: Mapping[str, Any] = known.owned if known is not None else {}
        if finished is None:
            kind.default(document)
            if kind.status and not kind.status_on_create:
                document.pop("status", None)
            if tracked and remembered:
                owned = {"f:spec": ownership.spec_of_new(kind, document)}
        if tracked:
            bare = {name: value for name, value in document.items() if f"f:{name}" not in owned and name != "status"}
            books = ownership.of_new(kind, bare, options, self._clock.now(), owned)
        notes: Mapping[str, str] = known.notes if known is not None else {}
        if finished is None:
            sent_notes = dict(metadata.get("annotations") or {}) if remembered else {}
            await self._admission.mutate(request)
            metadata = document["metadata"]
            if remembered:
                notes = _added(sent_notes, metadata.get("annotations") or {})
        elif notes:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **notes}
        meta.begin(kind, document, self._clock.now())
        if finished is None:
            kind.prepare_create(document)
        if tracked and books:
            metadata["managedFields"] = books
        errors = validate_metadata(document, kind)
        if finished is None:
            errors = _merged(intake.complaints(kind, document), errors, kind.validate(document, None))
        refuse(kind, document, _and_rules(kind, document, None, errors))
        await self._admission.validate(request)
        if remembered:
            self._templates.remember(spec, document, owned, notes)
        return document

    def _template(self, kind: Kind, namespace: str, document: Json, *, tracked: bool) -> bytes:
        """What the outcome for this document's spec may be remembered by; empty when it may not."""
        if self._admission.watchful(kind.resource, "CREATE"):
            return b""
        key = self._templates.key(kind, document, tracked=tracked)
        if not key:
            return b""
        salt = self._admission.salt(kind.resource, document, namespace, self._lookup)
        return b"" if salt is None else key + salt

    async def changed(
        self,
        kind: Kind,
        current: Document,
        old: Json,
        document: Json,
        user: User,
        options: RequestOptions,
        subresource: str,
        *,
        held: Held,
        applied: bool = False,
    ) -> Json:
        """A document ready to replace `old` (which stays untouched); equal to `old` when there is nothing to write.

        Takes over `document`; `held` and `applied` as for `new`. Raises BadRequest, Conflict, Forbidden, Invalid.
        """
        meta.identify(kind, document)
        document = intake.receive(kind, document, options)
        meta.place(kind, document.setdefault("metadata", {}), current.namespace, current.name)
        asked = document["metadata"].get("resourceVersion") or ""
        meta.check_revision(kind, current, asked)
        tracked = not applied and ownership.tracked(kind, options)
        ownership.settle(document["metadata"], old["metadata"], own=tracked or applied)
        meta.carry(kind, document, current, old)
        document = meta.keep_apart(kind, document, old, subresource)
        if document == old:
            return document
        kind.default(document)
        if tracked:
            document = ownership.of_change(kind, document, old, options, self._clock.now(), subresource)
        request = self._request(kind, "UPDATE", current.namespace, document, old, user, options, subresource, held)
        await self._admission.mutate(request)
        # The others write only their own part, and may write what an ordinary update may not.
        if subresource in ("", "scale"):
            kind.prepare_update(document, old)
        if subresource != "status":
            meta.grow(kind, document, old)
        if document == old:
            return document
        aspect = kind.aspects.get(subresource)
        errors = validate_metadata_update(document, old, kind)
        own = aspect.validate(document, old) if aspect is not None else kind.validate(document, old)
        errors = _merged(intake.complaints(kind, document, old), errors, own)
        refuse(kind, document, _and_rules(kind, document, old, errors))
        await self._admission.validate(request)
        return document

    async def leaving(self, kind: Kind, current: Document, user: User, options: DeleteOptions) -> None:
        """Ask admission about a deletion. Raises Forbidden and what webhooks refuse with."""
        old = current.decode() if self._admission.looks(kind.resource, "DELETE") else None
        request = Request(
            kind,
            "DELETE",
            current.namespace,
            current.name,
            None,
            old,
            user,
            self._lookup,
            dry_run=options.dry_run,
            options=options,
            warnings=options.warnings,
            annotations=options.annotations,
        )
        await self._admission.mutate(request)
        await self._admission.validate(request)

    def asks(self, verb: Verb, resource: str, subresource: str) -> bool:
        """Whether anybody in admission wants to see such requests."""
        return self._admission.wanted(resource, verb, subresource)

    async def beside(
        self,
        kind: Kind,
        verb: Verb,
        namespace: str,
        name: str,
        subresource: str,
        body: Json,
        user: User,
        options: RequestOptions,
    ) -> None:
        """Ask admission about what is POSTed to a subresource, or about a connection (CONNECT); `body` may be changed.

        Raises Forbidden and what webhooks refuse with.
        """
        if not self._admission.wanted(kind.resource, verb, subresource):
            return
        request = self._request(kind, verb, namespace, body, None, user, options, subresource, [])
        request.name = name
        await self._admission.mutate(request)
        await self._admission.validate(request)

    def _request(
        self,
        kind: Kind,
        verb: Verb,
        namespace: str,
        document: Json,
        old: Json | None,
        user: User,
        options: RequestOptions,
        subresource: str,
        held: Held,
    ) -> Request:
        return Request(
            kind,
            verb,
            namespace,
            meta.of(document).get("name") or "",
            document,
            old,
            user,
            self._lookup,
            subresource,
            dry_run=options.dry_run,
            options=options,
            warnings=options.warnings,
            annotations=options.annotations,
            held=held,
        )


def refuse(kind: Kind, document: Json, errors: list[FieldError]) -> None:
    """Raise Invalid when there is anything to complain about."""
    if errors:
        raise invalid_object(kind.group, kind.kind, str(document["metadata"].get("name") or ""), errors)


def _added(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The annotations that came or changed."""
    return {name: value for name, value in after.items() if before.get(name) != value}


def _and_rules(kind: Kind, document: Json, old: Json | None, errors: list[FieldError]) -> list[FieldError]:
    """What has been found, and what the kind's last rules say in the light of it."""
    return errors if kind.rules is None else [*errors, *kind.rules(document, old, errors)]


def _merged(*complaints: list[FieldError]) -> list[FieldError]:
    """All of them, the same one only once: schema and validation may both miss a field."""
    errors: dict[tuple[str, str], FieldError] = {}
    for error in (error for some in complaints for error in some):
        errors.setdefault((error.path, error.type), error)
    return list(errors.values())


def namespace_of(kind: Kind, namespace: str) -> str:
    """The namespace of a request that names one object. Raises BadRequest when it is missing."""
    if kind.namespaced and not namespace:
        raise BadRequest(f"an empty namespace may not be set when a {kind.kind} is named")
    return namespace if kind.namespaced else ""
