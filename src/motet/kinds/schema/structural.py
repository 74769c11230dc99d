"""Custom resources' OpenAPI v3 structural schemas as `Schema` trees, and their defaults.

From then on a custom resource is checked, pruned, merged and published by the same functions as a built-in kind.
Follows "Extend the Kubernetes API with CustomResourceDefinitions: structural schema": types are given once, at the
outside; `allOf`, `anyOf`, `oneOf` and `not` only restrict values and are left to the gate.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

from motet.base.errors import FieldError, invalid, required, unsupported
from motet.kinds.schema import model, table
from motet.kinds.schema.model import Field, FieldMap, GroupVersionKind, Schema

Json = dict[str, Any]

_TYPES = {"string": model.STRING, "integer": model.INTEGER, "number": model.NUMBER, "boolean": model.BOOLEAN}
# Value rules that JSON Schema (2020-12) has under the same name; the gate takes them as they are.
_RULES = (
    "minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems",
    "minProperties", "maxProperties", "allOf", "anyOf", "oneOf", "not",
)  # fmt: skip
_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def resource(name: str, kind: GroupVersionKind, openapi: Mapping[str, Any] | None) -> Schema:
    """The schema of a custom resource. Without an OpenAPI schema everything beside the metadata is kept unseen.

    `name` is the definition name to publish it under (`com.example.v1.CronTab`). The schema should be one `problems`
    finds nothing wrong with.
    """
    root = convert(openapi or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    own = _type_members() | dict(root.fields)
    own["metadata"] = Field("metadata", table.get(table.META + "ObjectMeta"), False)
    return root.with_facts(type=model.STRUCT, name=name, kinds=(kind,), load_fields=lambda: own)


def _type_members() -> dict[str, Field]:
    text = Schema(type=model.STRING)
    return {"apiVersion": Field("apiVersion", text, False), "kind": Field("kind", text, False)}


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
        case str(scalar) if scalar in _TYPES:
            return Schema(type=_TYPES[scalar], format=str(openapi.get("format") or ""), **facts)
    return Schema(type=model.ANY, preserve=True, **facts)


def _object(openapi: Mapping[str, Any], facts: Json, preserve: bool) -> Schema:
    embedded = bool(openapi.get("x-kubernetes-embedded-resource"))
    properties = openapi.get("properties") or {}
    values = openapi.get("additionalProperties")
    if values is not None and values is not False and not properties:
        inner = convert(values) if isinstance(values, Mapping) else Schema(type=model.ANY, preserve=True)
        return Schema(type=model.MAP, values=inner, **facts)
    needed = frozenset(openapi.get("required") or ())
    load = partial(_members, properties, needed, embedded)
    return Schema(type=model.STRUCT, load_fields=load, preserve=preserve, embedded=embedded, **facts)


def _members(properties: Mapping[str, Any], needed: frozenset[str], embedded: bool) -> FieldMap:
    members = {name: Field(name, convert(node), name in needed) for name, node in properties.items()}
    if embedded:
        members |= {name: field for name, field in _type_members().items() if name not in members}
        members["metadata"] = Field("metadata", table.get(table.META + "ObjectMeta"), False)
    return members


def _facts(openapi: Mapping[str, Any]) -> Json:
    rules = {name: openapi[name] for name in _RULES if openapi.get(name) is not None}
    for name, bound in _EXCLUSIVE.items():
        if openapi.get(name) is True and bound in rules:  # A flag here, a number in later JSON Schema.
            rules[name] = rules.pop(bound)
    return {
        "typed": False,
        "nullable": bool(openapi.get("nullable")),
        "enum": tuple(openapi.get("enum") or ()),
        "default": openapi.get("default"),
        "list_type": openapi.get("x-kubernetes-list-type", ""),
        "list_keys": tuple(openapi.get("x-kubernetes-list-map-keys", ())),
        "map_type": openapi.get("x-kubernetes-map-type", ""),
        "description": openapi.get("description", ""),
        "rules": rules,
    }


def fill_defaults(schema: Schema, value: Any) -> Any:
    """The value with the defaults of its schema where a member is missing, or is null and may not be.

    Copies the path to what it changes; the same object comes back when there was nothing to fill.
    """
    if isinstance(value, dict) and schema.type == model.STRUCT:
        for name, field in schema.fields.items():
            member = value.get(name)
            if member is None and field.schema.default is not None and not (name in value and field.schema.nullable):
                member = copy.deepcopy(field.schema.default)
            filled = fill_defaults(field.schema, member)
            if filled is not None and filled is not value.get(name):
                value = {**value, name: filled}
        return value
    if isinstance(value, dict) and schema.values is not None:
        filled_values = {name: fill_defaults(schema.values, member) for name, member in value.items()}
        return filled_values if any(filled_values[name] is not value[name] for name in value) else value
    if isinstance(value, list) and schema.items is not None:
        items = [fill_defaults(schema.items, item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def problems(openapi: Mapping[str, Any], path: str) -> list[FieldError]:
    """Why an OpenAPI schema is not structural, with paths below `path`; empty when it is."""
    found: list[FieldError] = []
    kind = openapi.get("type")
    free = openapi.get("x-kubernetes-int-or-string") or openapi.get("x-kubernetes-preserve-unknown-fields")
    if not kind and not free:
        found.append(required(f"{path}.type", "must not be empty for specified object fields"))
    elif kind and kind not in (*_TYPES, "object", "array"):
        found.append(unsupported(f"{path}.type", kind, (*_TYPES, "object", "array")))
    if openapi.get("properties") and openapi.get("additionalProperties") not in (None, False):
        found.append(
            invalid(f"{path}.additionalProperties", "", "properties and additionalProperties exclude each other")
        )
    if kind == "array" and not isinstance(openapi.get("items"), Mapping):
        found.append(required(f"{path}.items", "must be specified"))
    if openapi.get("x-kubernetes-list-type") == "map" and not openapi.get("x-kubernetes-list-map-keys"):
        found.append(
            required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
        )
    for name, node in (openapi.get("properties") or {}).items():
        found += problems(node, f"{path}.properties[{name}]")
    if isinstance(openapi.get("items"), Mapping):
        found += problems(openapi["items"], f"{path}.items")
    if isinstance(openapi.get("additionalProperties"), Mapping):
        found += problems(openapi["additionalProperties"], f"{path}.additionalProperties")
    return found
