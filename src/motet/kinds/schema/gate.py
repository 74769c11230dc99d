"""The fast gate: a compiled JSON Schema per definition that says in microseconds whether a document is entirely clean.

Clean means: right types everywhere, required fields there, no unknown fields, no nulls, readable base64, and quantities
and times in the form upstream prints them, so that a clean document has nothing to make canonical either.
Nearly every write is clean; only the others pay for the walker that says what is wrong (`validate`).
A gate takes some milliseconds to compile and is made when its definition is first checked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import jsonschema_rs

from motet.base import quantity, timestamps
from motet.kinds.schema import formats, patterns, rules
from motet.kinds.schema.model import Schema

Gate = Callable[[Any], bool]

INT_LIMITS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_PLAIN = {"string": "string", "number": "number", "boolean": "boolean", "integer": "integer"}
_gates: WeakKeyDictionary[Schema, Gate] = WeakKeyDictionary()


def gate(schema: Schema) -> Gate:
    """The compiled predicate of a schema: True for a document with nothing to complain about."""
    known = _gates.get(schema)
    if known is None:
        known = _gates[schema] = _compiled(schema)
    return known


def _compiled(schema: Schema) -> Gate:
    try:
        return jsonschema_rs.Draft202012Validator(
            json_schema(schema),
            validate_formats=True,
            formats=FORMATS,
            ignore_unknown_formats=True,
            pattern_options=patterns.ENGINE,
        ).is_valid
    except (ValueError, jsonschema_rs.ValidationError):
        if schema.typed:
            raise
        # Nothing a custom resource's definition says may stop the server; without a gate every document is walked.
        return lambda document: False


def is_quantity(text: str) -> bool:
    """Whether it reads as a resource quantity."""
    try:
        quantity.parse(text)
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    """Whether it is an RFC 3339 time with a zone."""
    try:
        timestamps.parse_time(text)
    except ValueError:
        return False
    return len(text) >= 20


def is_base64(text: str) -> bool:
    """Whether it is padded standard base64; line breaks are allowed, as Go's decoder allows them."""
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


@lru_cache(maxsize=4096)
def is_canonical_quantity(text: str) -> bool:
    """Whether it is a quantity just as upstream prints it. Remembered: a cluster writes the same few again and again."""
    return is_quantity(text) and quantity.canonical(text) == text


@lru_cache(maxsize=4096)
def is_canonical_time(text: str) -> bool:
    """Whether it is a time in whole seconds, UTC, just as upstream prints it."""
    return len(text) == 20 and text.endswith("Z") and is_time(text)


@lru_cache(maxsize=4096)
def is_canonical_micro_time(text: str) -> bool:
    """Whether it is a time in microseconds, UTC, just as upstream prints it."""
    return len(text) == 27 and text.endswith("Z") and is_time(text)


FORMATS: dict[str, Callable[[str], bool]] = {
    "motet-quantity": is_canonical_quantity,
    "motet-time": is_canonical_time,
    "motet-microtime": is_canonical_micro_time,
    "motet-base64": is_base64,
    **formats.GATE,
}


def json_schema(schema: Schema) -> dict[str, Any]:
    """The strict JSON Schema (2020-12) of a definition, with everything it refers to under `$defs`."""
    definitions: dict[str, Any] = {}
    body = _node(schema, definitions)
    return {**body, "$defs": definitions}


def _node(schema: Schema, definitions: dict[str, Any]) -> dict[str, Any]:
    if schema.type == "struct" and schema.name:
        if schema.name not in definitions:
            definitions[schema.name] = {}
            definitions[schema.name] = _body(schema, definitions)
        return {"$ref": f"#/$defs/{schema.name}"}
    return _body(schema, definitions)


def _body(schema: Schema, definitions: dict[str, Any]) -> dict[str, Any]:
    body = _restricted(schema.rules)
    match schema.type:
        case "struct":
            body["type"] = "object"
            body["properties"] = {name: _node(field.schema, definitions) for name, field in schema.fields.items()}
            required = [field.name for field in schema.fields.values() if field.required]
            if required:
                body["required"] = required
            if not schema.preserve:
                body["additionalProperties"] = False
        case "map":
            body["type"] = "object"
            if schema.values is not None:
                body["additionalProperties"] = _node(schema.values, definitions)
        case "list":
            body["type"] = "array"
            if schema.items is not None:
                body["items"] = _node(schema.items, definitions)
        case "int-or-string":
            body["type"] = ["integer", "string"]
        case "quantity":
            # A bare number is readable too, but not as it would be printed: the walker lets it pass.
            body.update(type="string", format="motet-quantity")
        case "time":
            body.update(type="string", format="motet-time")
        case "microtime":
            body.update(type="string", format="motet-microtime")
        case "bytes":
            body.update(type="string", format="motet-base64")
        case "any":
            if schema.fields:
                body["properties"] = {name: _node(field.schema, definitions) for name, field in schema.fields.items()}
        case scalar:
            body["type"] = _PLAIN[scalar]
    if schema.type == "integer" and schema.format in INT_LIMITS:
        low, high = INT_LIMITS[schema.format]
        body["minimum"] = max(low, body.get("minimum", low))
        body["maximum"] = min(high, body.get("maximum", high))
    elif schema.format and not schema.typed and "format" not in body:
        body["format"] = f"go-{formats.normalized(schema.format)}"
    if schema.enum:
        body["enum"] = list(schema.enum)
    if schema.nullable and "type" in body:
        types = body["type"] if isinstance(body["type"], list) else [body["type"]]
        body["type"] = [*types, "null"]
    return body


def _restricted(found: Mapping[str, Any]) -> dict[str, Any]:
    """Value rules as JSON Schema."""
    body = dict(found)
    if "pattern" in body:
        body["pattern"] = patterns.translated(body["pattern"])
    for name in ("allOf", "anyOf", "oneOf"):
        if name in body:
            body[name] = [_nested(node) for node in body[name]]
    if "not" in body:
        body["not"] = _nested(body["not"])
    return body


def _nested(node: Mapping[str, Any]) -> dict[str, Any]:
    """What stands below a combination. As upstream has it, a null breaks no rule."""
    body = _restricted(rules.plain(node))
    for name in ("type", "required"):
        if node.get(name):
            body[name] = node[name]
    if node.get("enum"):
        body["enum"] = list(node["enum"])
    if node.get("format"):
        body["format"] = f"go-{formats.normalized(str(node['format']))}"
    if node.get("properties"):
        body["properties"] = {name: _nested(inner) for name, inner in node["properties"].items()}
    if isinstance(node.get("items"), Mapping):
        body["items"] = _nested(node["items"])
    return body
