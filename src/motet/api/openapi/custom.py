"""Custom resources' schemas as they are published: what the definition says, with the metadata every object has.

Version 2 cannot say all of it, and kubectl's validation by it would refuse what the server takes; so the parts it would
misread are left out, as upstream leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from motet.kinds.schema import formats
from motet.kinds.schema.model import Schema

Json = dict[str, Any]

_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas "
    "to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint "
    "the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_METADATA = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_JUNCTORS = ("allOf", "oneOf", "anyOf", "not")
_NODES = ("items", "additionalProperties", "not")
_TEXT_FORMATS_OF_NUMBERS = ("int32", "int64", "float", "double", "int-or-string")

# Gives a node that refers to ObjectMeta, with a description.
Meta = Callable[[str], Json]


def definition(schema: Schema, meta: Meta, *, v2: bool) -> Json:
    """The definition of a custom resource's schema."""
    source = schema.source or {}
    if v2 and source.get(_PRESERVE):
        # Whatever else was said, kubectl would complain about unknown fields.
        body: Json = {"type": "object"}
    else:
        body = _node(source, meta, v2=v2)
        body["properties"] = {**(body.get("properties") or {}), **_identity(meta)}
    body["x-kubernetes-group-version-kind"] = [kind._asdict() for kind in schema.kinds]
    return body


def _identity(meta: Meta) -> Json:
    return {
        "apiVersion": {"description": _API_VERSION, "type": "string"},
        "kind": {"description": _KIND, "type": "string"},
        "metadata": meta(_METADATA),
    }


def _node(node: Mapping[str, Any], meta: Meta, *, v2: bool) -> Json:
    found = {name: value for name, value in node.items() if value is not None}
    form = found.get("format")
    if form and formats.known(form) is None and form not in _TEXT_FORMATS_OF_NUMBERS:
        del found["format"]
    if v2:
        _cut(found)
    if "properties" in found:
        found["properties"] = {name: _node(inner, meta, v2=v2) for name, inner in found["properties"].items()}
    for name in _NODES:
        if isinstance(found.get(name), Mapping):
            found[name] = _node(found[name], meta, v2=v2)
    for name in _JUNCTORS[:-1]:
        if name in found:
            found[name] = [_node(inner, meta, v2=v2) for inner in found[name]]
    if found.get("x-kubernetes-embedded-resource") and not (v2 and found.get(_PRESERVE)):
        found["properties"] = {**(found.get("properties") or {}), **_identity(meta)}
        found["required"] = list(dict.fromkeys((*(found.get("required") or ()), "kind", "apiVersion")))
    return found


def _cut(found: Json) -> None:
    """Leave out what version 2 has no words for, or kubectl no sense."""
    for name in _JUNCTORS:
        found.pop(name, None)
    preserve = found.get(_PRESERVE)
    if found.get("nullable"):
        for name in ("type", "nullable", "items", "properties"):
            found.pop(name, None)
    if preserve:
        for name in ("items", "properties"):
            found.pop(name, None)
        if found.get("type") == "object":
            del found["type"]
    if found.get("type") == "array" and "items" not in found:
        del found["type"]
    properties, values = found.get("properties") or {}, found.get("additionalProperties")
    if required := found.get("required"):
        kept = [name for name in required if not (properties.get(name) or {}).get("nullable")]
        if isinstance(values, Mapping) and values.get("nullable"):
            kept = []
        if kept:
            found["required"] = kept
        else:
            del found["required"]
