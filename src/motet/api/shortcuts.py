"""Shorter ways to the same result for the writes there are most of: pods stamped out of one template, status, and the
beginning of a pod's deletion.

They rest on facts that the tests hold: a pod's defaults, preparation and validation look at its spec alone, so what was
found for one spec holds for every pod with the same one; a write of status leaves all other bytes as they are, and so
does a deletion with all but metadata.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from motet.api import meta
from motet.api.deletion import UNCHANGED, Fate
from motet.kinds.kind import Json, Kind
from motet.kinds.schema import table
from motet.kinds.schema.gate import Gate, gate
from motet.store.document import Document

PODS = "core/pods"

# Kinds of whose status only the schema has something to say.
_PLAIN_STATUS = frozenset(
    (
        PODS,
        "apps/daemonsets",
        "apps/deployments",
        "apps/replicasets",
        "apps/statefulsets",
        "batch/jobs",
        "core/replicationcontrollers",
        "motet.dev/apps",
    )
)

_META_SCHEMA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_KNOWN_PARTS = frozenset(("apiVersion", "kind", "metadata", "spec", "status"))
_KEPT = 256
_LARGEST = 64 * 1024

_encode = msgspec.json.encode
_decode = msgspec.json.decode
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Template(NamedTuple):
    """What became of one spec: itself finished, the first status, the parts of FieldsV1 that go with it, and the annotations that
    admission noted."""

    spec: msgspec.Raw
    status: msgspec.Raw
    owned: Mapping[str, msgspec.Raw]
    notes: Mapping[str, str]


class Templates:
    """What became of specs seen lately, by the bytes that came in."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Template] = OrderedDict()

    def key(self, kind: Kind, document: Json, *, tracked: bool) -> bytes:
        """What the document's spec is remembered by; empty when it is not a case for remembering.

        `tracked`: whether the fields of the spec have to be known with it.
        """
        if kind.resource != PODS or not document.keys() <= _KNOWN_PARTS:
            return b""
        key = _encode(document.get("spec"))
        return b"" if len(key) > _LARGEST else key + b"+" if tracked else key

    def recall(self, key: bytes, document: Json) -> Json | None:
        """The document finished but for its metadata, spec and status as bytes; None when the spec is new."""
        found = self._known.get(key) if key else None
        metadata = document.get("metadata")
        if found is None or not gate(table.get(_META_SCHEMA))(metadata):
            return None
        self._known.move_to_end(key)
        return {
            "apiVersion": document["apiVersion"],
            "kind": document["kind"],
            "metadata": metadata,
            "spec": found.spec,
            "status": found.status,
        }

    def recalled(self, key: bytes) -> Template:
        """What goes with a spec that was just recalled."""
        return self._known[key]

    def remember(self, key: bytes, document: Json, owned: Mapping[str, Any], notes: Mapping[str, str]) -> None:
        """Keep what a spec became, and what goes with it."""
        if not key:
            return
        parts = {name: msgspec.Raw(_encode(part)) for name, part in owned.items()}
        spec, status = (msgspec.Raw(_encode(document[part])) for part in ("spec", "status"))
        self._known[key] = Template(spec, status, parts, notes)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)


def status_gate(kind: Kind) -> Gate | None:
    """The schema gate of a kind's status; None when status writes of this kind go the long way."""
    if kind.resource not in _PLAIN_STATUS or not kind.schema:
        return None
    schema = table.get(kind.schema).at("status")
    return gate(schema) if schema is not None else None


def only_status(patch: Any) -> bool:
    """Whether a merge patch says nothing but a status."""
    return isinstance(patch, dict) and patch.keys() == {"status"} and isinstance(patch["status"], dict)


def current_status(current: Document) -> tuple[dict[str, msgspec.Raw], Json]:
    """A document taken apart at the top, and its status decoded."""
    parts = _parts.decode(meta.unstamped(current))
    status = parts.get("status")
    return parts, _decode(status) if status else {}


def with_status(parts: dict[str, msgspec.Raw], old: Json, new: Json, check: Gate) -> bytes | Fate | None:
    """The value with another status; None when the schema has something to say, which takes the long way."""
    if new == old:
        return UNCHANGED
    if not check(new):
        return None
    parts["status"] = msgspec.Raw(_encode(new))
    return _encode(parts)


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel", omit_defaults=True):
    node_name: str = ""
    termination_grace_period_seconds: int | None = None


class _Status(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    phase: str = ""


class _Leaving(msgspec.Struct, gc=False, frozen=True):
    spec: _Spec = _Spec()
    status: _Status = _Status()


def leaving_pod(current: Document) -> tuple[dict[str, msgspec.Raw], Json]:
    """A pod taken apart at the top, and as much of it decoded as deciding on its deletion takes."""
    parts = _parts.decode(meta.unstamped(current))
    view = msgspec.to_builtins(current.view(_Leaving))
    return parts, {"metadata": _decode(parts["metadata"]), **view}


def with_metadata(parts: dict[str, msgspec.Raw], metadata: Json) -> bytes:
    """The value with other metadata."""
    parts["metadata"] = msgspec.Raw(_encode(metadata))
    return _encode(parts)
