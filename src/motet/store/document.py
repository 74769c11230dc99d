"""A document as the store keeps it: its exact encoded bytes, and narrow typed views decoded from them on demand.

A stored value is the JSON of the object *without* `metadata.resourceVersion`; the revision is the store's to give and is
spliced in right after `"metadata":{` when the document is read (`Document.raw`). `encode` guarantees the order
`apiVersion`, `kind`, `metadata`, then the rest, so the splice point is the first occurrence of that text.

Keys have four segments: `GROUP/PLURAL/NAMESPACE/NAME`, with `core` for the empty group and an empty namespace for
cluster-wide kinds: `apps/deployments/default/web`, `core/nodes//n1`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

View = TypeVar("View", bound=msgspec.Struct)

_SPLICE = b'"metadata":{'
_STAMPED = b'"metadata":{"resourceVersion":"'


class OwnerReference(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """`metadata.ownerReferences[]`."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class Meta(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """The part of `ObjectMeta` that every room reads. Times stay RFC 3339 text."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None
    finalizers: tuple[str, ...] | None = None

    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, if there is one."""
        for owner in self.owner_references or ():
            if owner.controller:
                return owner
        return None


class _MetaView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta = Meta()


class Key(NamedTuple):
    """Where a document lives. `resource` is `GROUP/PLURAL`, for instance `core/pods`."""

    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.resource}/{self.namespace}/{self.name}"


def parse_key(key: str) -> Key:
    """The inverse of `str(Key(...))`."""
    group, plural, namespace, name = key.split("/", 3)
    return Key(f"{group}/{plural}", namespace, name)


_encoder = msgspec.json.Encoder()
_meta_decoder = msgspec.json.Decoder(_MetaView)
_decode_any = msgspec.json.Decoder().decode
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
# Views that hold all of the metadata.
_with_meta: set[type] = set()


# Objects made from one template carry equal labels, annotations and owners: one copy serves them all.
_shared: dict[Any, Any] = {}
_MOST_SHARED = 4096
# Longer annotations (a whole applied manifest, for instance) are never equal and not worth remembering.
_LONGEST_SHARED = 200


def _share(value: Any, identity: Any) -> Any:
    found = _shared.get(identity)
    if found is not None:
        return found
    if len(_shared) >= _MOST_SHARED:
        # Forgetting only costs later documents their sharing; what is in use stays in use.
        _shared.clear()
    _shared[identity] = value
    return value


def _thrifty(meta: Meta, key: Key) -> Meta:
    """The same metadata holding shared parts: about half the memory. Shared dicts are read-only, as all of it is."""
    put = msgspec.structs.force_setattr
    if meta.name == key.name:
        put(meta, "name", key.name)
    if meta.namespace == key.namespace:
        put(meta, "namespace", key.namespace)
    if meta.labels:
        put(meta, "labels", _share(meta.labels, tuple(meta.labels.items())))
    if meta.annotations and all(len(value) <= _LONGEST_SHARED for value in meta.annotations.values()):
        put(meta, "annotations", _share(meta.annotations, tuple(meta.annotations.items())))
    if meta.owner_references:
        put(meta, "owner_references", _share(meta.owner_references, meta.owner_references))
    return meta


def encode(document: Mapping[str, Any]) -> bytes:
    """The value to store: `apiVersion`, `kind`, `metadata` first, and no resourceVersion."""
    ordered = {"apiVersion": document.get("apiVersion", ""), "kind": document.get("kind", ""), "metadata": None}
    ordered.update(document)
    metadata = dict(document.get("metadata") or {})
    metadata.pop("resourceVersion", None)
    ordered["metadata"] = metadata
    return _encoder.encode(ordered)


def stamp(value: bytes, revision: int) -> bytes:
    """The served form of a stored value: `metadata.resourceVersion` is `revision`."""
    at = value.index(_SPLICE) + len(_SPLICE)
    comma = b"" if value[at : at + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (value[:at], revision, comma, value[at:])


class Document:
    """One object at one revision. Immutable: `decode()` gives a fresh dict to change and write back."""

    __slots__ = ("_views", "key", "meta", "raw", "revision")

    def __init__(self, key: Key, raw: bytes, revision: int) -> None:
        self.key = key
        self.raw = raw
        self.revision = revision
        self.meta: Meta = _thrifty(_meta_decoder.decode(raw).metadata, key)
        self._views: dict[Hashable, Any] | None = None

    @classmethod
    def stored(cls, key: str, value: bytes, revision: int) -> Document:
        """From what an engine returned."""
        return cls(parse_key(key), stamp(value, revision), revision)

    def at(self, revision: int) -> Document:
        """The same state under another resourceVersion: how a deletion shows what was deleted."""
        start = self.raw.index(_STAMPED) + len(_STAMPED)
        end = self.raw.index(b'"', start)
        return Document(self.key, b"%b%d%b" % (self.raw[:start], revision, self.raw[end:]), revision)

    @property
    def namespace(self) -> str:
        return self.key.namespace

    @property
    def name(self) -> str:
        return self.key.name

    def view(self, of: type[View]) -> View:
        """The fields that `of` names, decoded once and remembered on this document."""
        if self._views is None:
            self._views = {}
        found = self._views.get(of)
        if found is None:
            decoder = _decoders.get(of)
            if decoder is None:
                decoder = _decoders[of] = msgspec.json.Decoder(of)
                if any(field.name == "metadata" and field.type is Meta for field in msgspec.structs.fields(of)):
                    _with_meta.add(of)
            found = self._views[of] = decoder.decode(self.raw)
            if of in _with_meta:
                # The same metadata once: less memory, and equal labels are the same object.
                msgspec.structs.force_setattr(found, "metadata", self.meta)
        return found  # type: ignore[no-any-return]

    def remembered(self, form: str, mark: object) -> Document | None:
        """The other form of this document that was remembered under the same mark; None for no such form."""
        found = self._views.get(form) if self._views is not None else None
        if found is None or found[0] is not mark:
            return None
        return self if found[1] is None else found[1]

    def remember(self, form: str, mark: object, document: Document) -> None:
        """Keep another form of this document (or this one itself) for as long as this one lives, one for each name."""
        if self._views is None:
            self._views = {}
        # Never itself: documents are in no cycles, so that they go as soon as nobody holds them.
        self._views[form] = (mark, None if document is self else document)

    def decode(self) -> dict[str, Any]:
        """A fresh dict of everything, the caller's to change."""
        return _decode_any(self.raw)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<{self.key}@{self.revision}>"
