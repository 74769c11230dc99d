"""What may stand in the OpenAPI v3 schema of a custom resource, node by node (upstream: apiextensions validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from motet.base.errors import FieldError, forbidden, invalid, required, unsupported

Json = Mapping[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
META = ("metadata", "kind", "apiVersion")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_UNIQUE = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
_SET_ITEM = "must be atomic as item of a list with x-kubernetes-list-type=set"


@dataclass(frozen=True, slots=True)
class _Context:
    """Where in a resource a node is: whether it is about metadata, and why it may have no default."""

    inside_meta: bool = False
    no_defaults: str = ""


def problems(node: Any, path: str) -> list[FieldError]:
    """Everything wrong with the schema at `path`, the root of a resource's."""
    return list(_node(node, path, _Context(), root=True))


def _node(node: Any, path: str, context: _Context, *, root: bool = False) -> Iterator[FieldError]:
    if not isinstance(node, Mapping):
        yield invalid(path, node, "must be a schema object")
        return
    yield from _supported(node, path, context)
    if node.get("uniqueItems"):
        yield forbidden(f"{path}.uniqueItems", _UNIQUE)
    yield from _below(node, path, context, root)
    yield from _extensions(node, path)
    yield from _list_map(node, path)
    yield from _unambiguous_items(node, path)


def _supported(node: Json, path: str, context: _Context) -> Iterator[FieldError]:
    kind = node.get("type")
    if kind and kind != "null" and kind not in _TYPES:
        yield unsupported(f"{path}.type", kind, _TYPES)
    if node.get("default") is not None and context.no_defaults:
        yield forbidden(f"{path}.default", f"must not be set {context.no_defaults}")
    for name in _UNSUPPORTED:
        if node.get(name):
            yield forbidden(f"{path}.{name}", f"{name} is not supported")
    if kind == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(node.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if context.inside_meta and node.get("x-kubernetes-embedded-resource"):
        yield forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")


def _below(node: Json, path: str, context: _Context, root: bool) -> Iterator[FieldError]:
    properties, values = node.get("properties") or {}, node.get("additionalProperties")
    if values is not None:
        if properties and values is not True:
            yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
        if isinstance(values, Mapping):
            inner = context
            if context.inside_meta:
                inner = replace(context, no_defaults="inside additionalProperties applying to object metadata")
            yield from _node(values, f"{path}.additionalProperties", inner)
    for name, child in properties.items():
        inner = context
        if (root or node.get("x-kubernetes-embedded-resource")) and name in META:
            inner = replace(context, inside_meta=True)
            if root:
                inner = replace(inner, no_defaults=f"in top-level {name}")
        yield from _node(child, f"{path}.properties[{name}]", inner)
    if node.get("not") is not None:
        yield from _node(node["not"], f"{path}.not", context)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for index, child in enumerate(node.get(junctor) or ()):
            yield from _node(child, f"{path}.{junctor}[{index}]", context)
    if isinstance(node.get("items"), Mapping):
        yield from _node(node["items"], f"{path}.items", context)


def _extensions(node: Json, path: str) -> Iterator[FieldError]:
    kind = node.get("type")
    if node.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    map_type, list_type = node.get("x-kubernetes-map-type"), node.get("x-kubernetes-list-type")
    if map_type is not None:
        yield from _typed(path, kind, "object", "x-kubernetes-map-type")
        if map_type not in ("atomic", "granular"):
            yield unsupported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular"))
    if list_type is None:
        return
    if kind != "array":
        yield from _typed(path, kind, "array", "x-kubernetes-list-type")
    elif list_type == "set":
        yield from _set_items(node.get("items"), path)
    if list_type not in ("atomic", "set", "map"):
        yield unsupported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "set", "map"))


def _typed(path: str, kind: Any, needed: str, because: str) -> Iterator[FieldError]:
    detail = f"must be {needed} if {because} is specified"
    if not kind:
        yield required(f"{path}.type", detail)
    elif kind != needed:
        yield invalid(f"{path}.type", kind, detail)


def _set_items(items: Any, path: str) -> Iterator[FieldError]:
    if not isinstance(items, Mapping):
        return
    if items.get("type") == "array" and items.get("x-kubernetes-list-type", "atomic") != "atomic":
        yield invalid(f"{path}.items.x-kubernetes-list-type", items.get("x-kubernetes-list-type"), _SET_ITEM)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield invalid(f"{path}.items.x-kubernetes-map-type", items.get("x-kubernetes-map-type"), _SET_ITEM)


def _list_map(node: Json, path: str) -> Iterator[FieldError]:
    keys, list_type = node.get("x-kubernetes-list-map-keys") or (), node.get("x-kubernetes-list-type")
    if keys and list_type != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        at = f"{path}.x-kubernetes-list-type"
        yield required(at, detail) if list_type is None else invalid(at, list_type, detail)
    if list_type != "map":
        return
    if not keys:
        yield required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    items = node.get("items")
    if items is None:
        yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
    if not isinstance(items, Mapping):
        return
    if items.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.get("type", ""), detail)
        return
    yield from _map_keys(items, list(keys), path)


def _map_keys(items: Json, keys: list[str], path: str) -> Iterator[FieldError]:
    at = f"{path}.x-kubernetes-list-map-keys"
    members = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in members:
            yield invalid(at, keys, "entries must all be names of item properties")
        elif members[key].get("type") in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{path}.items.properties[{key}].type", items.get("type"), detail)
        if key in keys[:index]:
            yield invalid(at, keys, "must not contain duplicate entries")


def _unambiguous_items(node: Json, path: str) -> Iterator[FieldError]:
    """Items and keys that identify may not be missing."""
    list_type, items = node.get("x-kubernetes-list-type"), node.get("items")
    if list_type not in ("set", "map") or not isinstance(items, Mapping):
        return
    if items.get("nullable"):
        yield forbidden(f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}")
    if list_type != "map":
        return
    for key in node.get("x-kubernetes-list-map-keys") or ():
        member = (items.get("properties") or {}).get(key)
        if member is None:
            continue
        at = f"{path}.items.properties[{key}]"
        if key not in (items.get("required") or ()) and member.get("default") is None:
            detail = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            yield required(f"{at}.default", detail)
        if member.get("nullable"):
            yield forbidden(
                f"{at}.nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            )
