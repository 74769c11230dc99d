"""Whose writes are entered in `metadata.managedFields`, and what follows (Kubernetes "Server-Side Apply").

Users' writes are: an object they create starts its books, their changes are tracked in them, and an apply goes by them.
The manager's own loops and the nodes write without a field manager: they leave the books as they are, and what they
create has none. An object without books gets them with its first apply, which finds everything that is there already
owned by `before-first-apply`, as upstream does for objects that are older than their books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec

from motet.api import meta
from motet.api.apply import apply, created, track
from motet.api.options import RequestOptions
from motet.base.errors import BadRequest, FieldError, forbidden, invalid, invalid_object, required
from motet.base.timestamps import format_time
from motet.kinds.kind import Json, Kind
from motet.kinds.schema import table, validate
from motet.kinds.schema.model import Schema
from motet.store.document import Document

BEFORE_FIRST_APPLY: Final = "before-first-apply"
LONGEST_MANAGER: Final = 128
_MARK: Final = b'"managedFields":['
_STATUS: Final = "status"


def tracked(kind: Kind, options: RequestOptions) -> bool:
    """Whether a write is entered in the books."""
    return bool(options.field_manager) and bool(kind.schema) and kind.projection is None


def untracked(options: RequestOptions) -> RequestOptions:
    """The same request by nobody in particular."""
    return replace(options, field_manager="") if options.field_manager else options


def kept(current: Document) -> bool:
    """Whether a stored document has books, found without decoding it."""
    return _MARK in current.raw


def of_new(kind: Kind, document: Json, options: RequestOptions, now: datetime, known: Mapping[str, Any]) -> list[Json]:
    """The books that a new object starts with. `known`: see `apply.created`."""
    return created(_schema(kind), document, manager=options.field_manager, time=format_time(now), known=known)


def spec_of_new(kind: Kind, document: Json) -> Any:
    """The FieldsV1 form of a new object's spec, for objects with the same one."""
    books = created(_schema(kind), {"spec": document.get("spec")}, manager="", time="")
    return books[0]["fieldsV1"].get("f:spec", {}) if books else {}


def settle(metadata: Json, before: Json, *, own: bool) -> None:
    """The books an update begins with. A caller who keeps books (`own`) may send others, or `[{}]` to close them;
    otherwise they stay as they were."""
    sent = metadata.pop("managedFields", None)
    if own and sent and isinstance(sent, list):
        if sent != [{}]:
            metadata["managedFields"] = sent
    elif "managedFields" in before:
        metadata["managedFields"] = before["managedFields"]


def of_change(kind: Kind, document: Json, old: Json, options: RequestOptions, now: datetime, subresource: str) -> Json:
    """The changed document with this change in its books, if it has any."""
    metadata = document["metadata"]
    if "managedFields" not in metadata:
        return document
    live = {**old, "metadata": {**old["metadata"], "managedFields": metadata["managedFields"]}}
    return track(
        _schema(kind),
        live,
        document,
        manager=options.field_manager,
        time=format_time(now),
        subresource=subresource,
    )


def of_status(kind: Kind, metadata: bytes, old: Json, new: Json, options: RequestOptions, now: datetime) -> msgspec.Raw:
    """The metadata after a write of nothing but status."""
    shell: Json = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": msgspec.json.decode(metadata)}
    changed = of_change(kind, {**shell, _STATUS: new}, {**shell, _STATUS: old}, options, now, _STATUS)
    return msgspec.Raw(msgspec.json.encode(changed["metadata"]))


def configuration(kind: Kind, body: Any, name: str, options: RequestOptions, subresource: str) -> bytes:
    """The configuration to apply, checked and in canonical form, as JSON. Raises BadRequest, Invalid.

    What does not belong to the subresource is left out: nobody applies a status to the main resource.
    """
    if not isinstance(body, dict):
        raise BadRequest("the body of an apply has to be an object: the fields that are to be owned")
    if kind.projection is not None or not kind.schema or subresource not in ("", _STATUS):
        what = f"{kind.plural}/{subresource}" if subresource else f"{kind.plural} of {kind.api_version}"
        raise BadRequest(f"server-side apply to {what} is not supported")
    for field in ("kind", "apiVersion"):
        if not body.get(field):
            raise BadRequest(f"Object '{field[0].upper()}{field[1:]}' is missing in the applied configuration")
    meta.identify(kind, body)
    metadata = body.setdefault("metadata", {})
    if metadata.get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    body = validate.normalize(kind.schema, body)
    if unknown := validate.unknown_fields(kind.schema, body):
        where = f"{metadata.get('namespace') or ''}/{name}; {kind.api_version}, Kind={kind.kind}"
        listed = ", ".join(f".{path}: field not declared in schema" for path in unknown)
        raise BadRequest(f"failed to create typed patch object ({where}): {listed}")
    validate.check(kind.schema, body)
    return msgspec.json.encode(_of_subresource(kind, body, subresource))


def applied(
    kind: Kind, live: Json, config: bytes, options: RequestOptions, now: datetime, subresource: str = ""
) -> Json:
    """The live document (empty: there is none) after the configuration was applied, books included. Raises Conflict."""
    schema, time = _schema(kind), format_time(now)
    if live and "managedFields" not in live["metadata"]:
        live = track(schema, {}, live, manager=BEFORE_FIRST_APPLY, time=time)
    wanted = msgspec.json.decode(config)
    return apply(
        schema,
        live,
        wanted,
        manager=options.field_manager,
        time=time,
        force=options.force,
        subresource=subresource,
    )


def check(options: RequestOptions, *, applying: bool, force_given: bool) -> None:
    """What upstream asks of PatchOptions. Raises Invalid."""
    errors: list[FieldError] = []
    if applying and not options.field_manager:
        errors.append(required("fieldManager", "is required for apply patch"))
    if not applying and force_given:
        errors.append(forbidden("force", "may not be specified for non-apply patch"))
    errors += manager_errors(options.field_manager)
    if errors:
        raise invalid_object("meta.k8s.io", "PatchOptions", "", errors)


def manager_errors(manager: str) -> list[FieldError]:
    """Why a field manager may not be called so."""
    if len(manager) > LONGEST_MANAGER:
        return [FieldError("fieldManager", "FieldValueTooLong", detail=f"may not be more than {LONGEST_MANAGER} bytes")]
    if not manager.isprintable():
        return [invalid("fieldManager", manager, "should only contain printable characters")]
    return []


def _of_subresource(kind: Kind, body: Json, subresource: str) -> Json:
    if subresource:
        metadata = {field: body["metadata"][field] for field in ("name", "namespace") if field in body["metadata"]}
        shell: Json = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}
        return {**shell, subresource: body[subresource]} if subresource in body else shell
    return {name: value for name, value in body.items() if name != _STATUS} if kind.status else body


def _schema(kind: Kind) -> Schema:
    return table.get(kind.schema)
