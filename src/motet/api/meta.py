"""What the machinery itself does to `metadata` and to the line between spec and status (API conventions, "Metadata").

All functions are pure over decoded documents; they raise only `ApiError`s.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from motet.api.options import DeleteOptions, RequestOptions
from motet.base.errors import BadRequest, Conflict, FieldError, conflict, forbidden, invalid, invalid_object
from motet.base.timestamps import format_time
from motet.kinds.kind import Json, Kind
from motet.store.document import Document

# Given by the server at creation and never taken from the caller afterwards.
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_IMMUTABLE = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def new_uid() -> str:
    """A random UUID (RFC 9562, version 4)."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def of(document: Json) -> Json:
    """The metadata of a document nobody has checked yet; empty when it is missing or something else."""
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def identify(kind: Kind, document: Json) -> None:
    """Give the document its apiVersion and kind, or refuse another's. Raises BadRequest."""
    api_version, name = document.get("apiVersion"), document.get("kind")
    if name and name != kind.kind:
        raise BadRequest(f"the object provided is unrecognized: it is a {name}, expected {kind.kind}")
    if api_version and api_version != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})"
        )
    document["apiVersion"], document["kind"] = kind.api_version, kind.kind
    if not isinstance(document.get("metadata") or {}, dict):
        raise BadRequest("metadata must be an object")


def place(kind: Kind, metadata: Json, namespace: str, name: str = "") -> None:
    """Make the document's namespace (and name, when the URL has one) those of the request. Raises BadRequest."""
    given = metadata.get("namespace") or ""
    if kind.namespaced:
        if given and given != namespace:
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = namespace
    elif given:
        raise BadRequest("namespace may not be set on an object of a kind that is cluster-wide")
    else:
        metadata.pop("namespace", None)
    if name:
        found = metadata.get("name") or name
        if found != name:
            raise BadRequest(f"the name of the object ({found}) does not match the name on the URL ({name})")
        metadata["name"] = name


def begin(kind: Kind, document: Json, now: datetime) -> None:
    """Fill in the metadata of a new object; `name` must be set or `generateName` be made whole already."""
    metadata = document["metadata"]
    if metadata.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    for field in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(field, None)
    metadata["uid"] = new_uid()
    if kind.status or kind.generations:
        metadata["generation"] = 1
    else:
        metadata.pop("generation", None)
    metadata["creationTimestamp"] = format_time(now)


def carry(kind: Kind, document: Json, current: Document, old: Json) -> None:
    """Bring over to an update what only the server may write, but for managedFields. Raises Conflict, Invalid.

    Afterwards `metadata.resourceVersion` is the current one on both, so that equal documents compare equal.
    """
    metadata, before = document["metadata"], old["metadata"]
    asked = metadata.get("uid")
    if asked and asked != before["uid"]:
        raise conflict(
            kind.group,
            kind.plural,
            current.name,
            f"Precondition failed: UID in precondition: {asked}, UID in object meta: {before['uid']}",
        )
    errors = [
        invalid(f"metadata.{field}", metadata[field], "field is immutable")
        for field in _IMMUTABLE
        if metadata.get(field) is not None and metadata[field] != before.get(field)
    ]
    errors += _late_finalizers(metadata, before)
    if errors:
        raise invalid_object(kind.group, kind.kind, current.name, errors)
    for field in (*_SERVER_OWNED, "generation"):
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    metadata.pop("selfLink", None)
    for field in ("finalizers", "ownerReferences"):
        if metadata.get(field) == []:
            del metadata[field]  # what a patch took the last entry from
    metadata["resourceVersion"] = before["resourceVersion"]


def _late_finalizers(metadata: Json, before: Json) -> list[FieldError]:
    if not before.get("deletionTimestamp"):
        return []
    added = sorted(set(metadata.get("finalizers") or ()) - set(before.get("finalizers") or ()))
    if not added:
        return []
    shown = ", ".join(f'"{name}"' for name in added)
    return [
        forbidden(
            "metadata.finalizers",
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}",
        )
    ]


def keep_apart(kind: Kind, document: Json, old: Json, subresource: str) -> Json:
    """The whole document after an update through `subresource` ("", status or an aspect): the rest stays as it was.

    `metadata.managedFields` tells of both halves and is the document's own.
    """
    aspect = kind.aspects.get(subresource)
    if subresource == "status" or aspect is not None:
        metadata = _beside(kind, document["metadata"], old["metadata"], subresource)
        if aspect is not None:
            return {**aspect.take(document, old), "metadata": metadata}
        whole = {**old, "metadata": metadata, "status": document.get("status")}
        if whole["status"] is None:
            del whole["status"]
        return whole
    if kind.status:
        if "status" in old:
            document["status"] = old["status"]
        else:
            document.pop("status", None)
    return document


def _beside(kind: Kind, sent: Json, before: Json, subresource: str) -> Json:
    """The metadata after an update of one part: labels and annotations may come with it where the kind says so."""
    aspect = kind.aspects.get(subresource)
    free = aspect.metadata if aspect is not None else kind.status_metadata
    found = dict(before)
    for field in ("labels", "annotations", "managedFields") if free else ("managedFields",):
        if sent.get(field) is not None:
            found[field] = sent[field]
        else:
            found.pop(field, None)
    return found


def grow(kind: Kind, document: Json, old: Json) -> None:
    """Count up `metadata.generation` when anything outside metadata and status changed."""
    if (kind.status or kind.generations) and desired_differs(document, old, status=kind.status):
        document["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def desired_differs(new: Json, old: Json, *, status: bool = True) -> bool:
    """Whether anything outside metadata and status changed; without `status`, the status is like any other field."""
    apart = ("metadata", "status") if status else ("metadata",)
    for field, value in new.items():
        if field not in apart and old.get(field, _ABSENT) != value:
            return True
    return any(field not in new for field in old if field not in apart)


_ABSENT: Any = object()


def check_revision(kind: Kind, current: Document, asked: str) -> None:
    """Optimistic concurrency: `asked` (empty: anything) must be the current resourceVersion. Raises Conflict, BadRequest."""
    if not asked:
        return
    if not asked.isdigit():
        raise BadRequest(f"resource version {asked!r} is not valid: expected a number given by the server")
    if int(asked) != current.revision and int(asked) != 0:
        raise conflict(kind.group, kind.plural, current.name)


def check_preconditions(kind: Kind, current: Document, uid: str, resource_version: str) -> None:
    """The preconditions of a delete. Raises Conflict."""
    if uid and uid != current.meta.uid:
        raise _precondition(kind, current.name, "UID", uid, current.meta.uid)
    if resource_version and resource_version != str(current.revision):
        raise _precondition(kind, current.name, "ResourceVersion", resource_version, str(current.revision))


def _precondition(kind: Kind, name: str, what: str, asked: str, found: str) -> Conflict:
    why = f"Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
    return conflict(kind.group, kind.plural, name, why)


_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions"}


def write_options(verb: str, options: RequestOptions) -> Json:
    """The `meta.k8s.io` document of a write's options, as admission shows it."""
    shown: Json = {"kind": _OPTIONS[verb], "apiVersion": "meta.k8s.io/v1"}
    if options.dry_run:
        shown["dryRun"] = ["All"]
    if options.field_manager:
        shown["fieldManager"] = options.field_manager
    return {**shown, "fieldValidation": options.field_validation}


def delete_options(options: DeleteOptions) -> Json:
    """The same of a deletion."""
    preconditions = {"uid": options.uid, "resourceVersion": options.resource_version}
    given: Json = {key: value for key, value in preconditions.items() if value}
    shown: Json = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
    if options.grace_seconds is not None:
        shown["gracePeriodSeconds"] = options.grace_seconds
    if given:
        shown["preconditions"] = given
    if options.propagation:
        shown["propagationPolicy"] = options.propagation
    return {**shown, **({"dryRun": ["All"]} if options.dry_run else {})}


def unstamped(document: Document) -> bytes:
    """The stored form of a document: its bytes without the resourceVersion that was spliced in."""
    raw = document.raw
    shown = b'"resourceVersion":"%d"' % document.revision
    at = raw.index(shown)
    end = at + len(shown)
    return raw[:at] + raw[end + 1 if raw[end : end + 1] == b"," else end :]
