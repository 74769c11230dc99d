"""Custom resources' OpenAPI v3 structural schemas as `Schema` trees, and their defaults.

From then on a custom resource is checked, pruned, merged and published by the same functions as a built-in kind.
Follows "Extend the Kubernetes API with CustomResourceDefinitions: structural schema": types are given once, at the
outside; `allOf`, `anyOf`, `oneOf` and `not` only restrict values and are left to the rules.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from motet.kinds.schema import model, rules, table
from motet.kinds.schema.model import Field, FieldMap, GroupVersionKind, Schema

Json = dict[str, Any]

TYPES = {"string": model.STRING, "integer": model.INTEGER, "number": model.NUMBER, "boolean": model.BOOLEAN}
_TYPE_NAMES = ("apiVersion", "kind")
_SOMEWHERE: dict[str, WeakKeyDictionary[Schema, bool]] = {}


def resource(name: str, kind: GroupVersionKind, openapi: Mapping[str, Any] | None) -> Schema:
    """The schema of a custom resource. Without an OpenAPI schema everything beside the metadata is kept unseen.

    `name` is the definition name to publish it under (`com.example.v1.CronTab`). The schema should be one that
    `motet.kinds.custom` finds nothing wrong with.
    """
    openapi = openapi or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    root = convert(openapi)
    own = {**root.fields, **_type_members(root.fields, needed=False)}
    own["metadata"] = Field("metadata", _root_metadata(openapi), False)
    return root.with_facts(type=model.STRUCT, name=name, kinds=(kind,), load_fields=lambda: own, source=openapi)


def _root_metadata(openapi: Mapping[str, Any]) -> Schema:
    """ObjectMeta, with what the schema says of the only two members it may restrict."""
    meta = table.get(table.META + "ObjectMeta")
    named = ((openapi.get("properties") or {}).get("metadata") or {}).get("properties") or {}
    if not named:
        return meta
    restricted = dict(meta.fields)
    for member, node in named.items():
        if member in restricted:
            schema = restricted[member].schema.with_facts(rules=rules.plain(node), enum=tuple(node.get("enum") or ()))
            restricted[member] = restricted[member]._replace(schema=schema)
    return meta.with_facts(name="", load_fields=lambda: restricted)


def _type_members(known: FieldMap, *, needed: bool) -> dict[str, Field]:
    """What names an object's kind, with the rules its schema has for them."""
    text = Schema(type=model.STRING)
    return {name: Field(name, known[name].schema if name in known else text, needed) for name in _TYPE_NAMES}


def convert(openapi: Mapping[str, Any]) -> Schema:
    """One node of a structural schema, with everything below it."""
    facts = _facts(openapi)
    preserve = bool(openapi.get("x-kubernetes-preserve-unknown-fields"))
    if openapi.get("x-kubernetes-int-or-string"):
        facts["rules"].pop("anyOf", None)
        return Schema(type=model.INT_OR_STRING, **facts)
    match openapi.get("type"):
        case "object":
            return _object(openapi, facts, preserve)
        case "array":
            items = openapi.get("items")
            return Schema(type=model.LIST, items=convert(items) if isinstance(items, Mapping) else None, **facts)
        case str(scalar) if scalar in TYPES:
            return Schema(type=TYPES[scalar], format=str(openapi.get("format") or ""), **facts)
    load = partial(_members, openapi)
    return Schema(type=model.ANY, preserve=True, load_fields=load, **facts)


def _object(openapi: Mapping[str, Any], facts: Json, preserve: bool) -> Schema:
    embedded = bool(openapi.get("x-kubernetes-embedded-resource"))
    values = openapi.get("additionalProperties")
    if values is not None and values is not False and not openapi.get("properties"):
        inner = convert(values) if isinstance(values, Mapping) else Schema(type=model.ANY, preserve=True, typed=False)
        return Schema(type=model.MAP, values=inner, **facts)
    load = partial(_members, openapi)
    return Schema(type=model.STRUCT, load_fields=load, preserve=preserve, embedded=embedded, **facts)


def _members(openapi: Mapping[str, Any]) -> FieldMap:
    needed = frozenset(openapi.get("required") or ())
    members = {
        name: Field(name, convert(node), name in needed) for name, node in (openapi.get("properties") or {}).items()
    }
    if openapi.get("x-kubernetes-preserve-unknown-fields"):
        free = Schema(type=model.ANY, preserve=True, typed=False)
        members |= {name: Field(name, free, True) for name in sorted(needed - members.keys())}
    if openapi.get("x-kubernetes-embedded-resource"):
        members |= _type_members(members, needed=True)
        members["metadata"] = Field("metadata", table.get(table.META + "ObjectMeta"), False)
    return members


def _facts(openapi: Mapping[str, Any]) -> Json:
    return {
        "typed": False,
        "nullable": bool(openapi.get("nullable")),
        "enum": tuple(openapi.get("enum") or ()),
        "default": openapi.get("default"),
        "list_type": openapi.get("x-kubernetes-list-type", ""),
        "list_keys": tuple(openapi.get("x-kubernetes-list-map-keys", ())),
        "map_type": openapi.get("x-kubernetes-map-type", ""),
        "description": openapi.get("description", ""),
        "validations": tuple(openapi.get("x-kubernetes-validations") or ()),
        "rules": rules.plain(openapi),
    }


def somewhere(schema: Schema, what: str, test: Callable[[Schema], bool]) -> bool:
    """Whether a node below a custom resource's schema, or the node itself, passes a test, remembered under `what`.

    Lets those who look for something rare pass over most of a document.
    """
    known = _SOMEWHERE.setdefault(what, WeakKeyDictionary())
    found = known.get(schema)
    if found is None:
        inner = () if schema.typed and schema.name else schema.children()
        found = known[schema] = test(schema) or any(somewhere(child, what, test) for child in inner)
    return found


def has_defaults(schema: Schema) -> bool:
    """Whether `fill_defaults` can find anything to fill."""
    return somewhere(schema, "default", lambda node: node.default is not None and not node.typed)


def fill_defaults(schema: Schema, value: Any) -> Any:
    """The value with the defaults of its schema where a member is missing, or is null and may not be.

    Copies the path to what it changes; the same object comes back when there was nothing to fill.
    """
    if not has_defaults(schema):
        return value
    if isinstance(value, dict):
        return _fill_members(schema, value)
    if isinstance(value, list) and schema.items is not None:
        items = [fill_defaults(schema.items, item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def _fill_members(schema: Schema, value: Json) -> Json:
    if schema.values is not None:
        filled = {name: fill_defaults(schema.values, member) for name, member in value.items()}
        return filled if any(filled[name] is not value[name] for name in value) else value
    for name, field in schema.fields.items():
        if field.schema.typed:
            continue
        member = value.get(name)
        if member is None and field.schema.default is not None and not (name in value and field.schema.nullable):
            member = copy.deepcopy(field.schema.default)
        new = fill_defaults(field.schema, member)
        if new is not None and new is not value.get(name):
            value = {**value, name: new}
    return value
