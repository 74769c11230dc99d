"""Rewrite a document to what its schema allows: without unknown fields, without nulls, with canonical scalars.

All of them copy only the path to what they change and return the input itself when nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from motet.base import quantity, timestamps
from motet.kinds.schema.model import Schema, zero

Rewrite = Callable[[Schema, Any], Any]

_worthwhile: WeakKeyDictionary[Schema, bool] = WeakKeyDictionary()


def prune(schema: Schema, value: Any) -> Any:
    """The value without members that no struct in its schema knows."""
    if schema.type == "struct" and isinstance(value, dict) and not schema.preserve:
        unknown = value.keys() - schema.fields.keys()
        if unknown:
            value = {name: member for name, member in value.items() if name not in unknown}
    return _children(schema, value, prune)


def drop_nulls(schema: Schema, value: Any) -> Any:
    """The value without optional nulls; a null that has to be something becomes its type's zero value."""
    if schema.type == "struct" and isinstance(value, dict):
        for name in [name for name, member in value.items() if member is None]:
            field = schema.fields.get(name)
            if field is None or field.schema.type == "any" or field.schema.nullable:
                continue
            if not schema.typed and field.schema.default is None:
                continue
            value = {**value}
            replacement = zero(field.schema) if field.required and schema.typed else None
            if replacement is None:
                del value[name]
            else:
                value[name] = replacement
    elif schema.typed:
        value = _fill(schema, value)
    return _children(schema, value, drop_nulls)


def _fill(schema: Schema, value: Any) -> Any:
    """Null items and map values become zero values, as Go's decoder leaves them."""
    if schema.type == "list" and isinstance(value, list) and None in value and schema.items is not None:
        return [zero(schema.items) if item is None else item for item in value]
    if schema.type == "map" and isinstance(value, dict) and None in value.values() and schema.values is not None:
        return {key: zero(schema.values) if item is None else item for key, item in value.items()}
    return value


def canonical(schema: Schema, value: Any) -> Any:
    """Quantities and times as upstream prints them; what cannot be read is left for `check` to complain about."""
    if not _has_canonical_form(schema):
        return value
    match schema.type:
        case "quantity" if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                printed = quantity.canonical(value)
            except ValueError:
                return value
            return value if printed == value else printed
        case "time" | "microtime" if isinstance(value, str):
            return _canonical_time(value, micro=schema.type == "microtime")
    return _children(schema, value, canonical)


def _canonical_time(text: str, *, micro: bool) -> str:
    if not micro and len(text) == 20 and text.endswith("Z"):
        return text
    try:
        instant = timestamps.parse_time(text)
    except ValueError:
        return text
    printed = timestamps.format_micro_time(instant) if micro else timestamps.format_time(instant)
    return text if printed == text else printed


def _has_canonical_form(schema: Schema) -> bool:
    """Whether a quantity or a time can occur anywhere below; lets `canonical` skip most of a document."""
    known = _worthwhile.get(schema)
    if known is None:
        _worthwhile[schema] = True  # Ends the recursion of a definition that contains itself, on the safe side.
        inner = [field.schema for field in schema.fields.values()]
        inner += [node for node in (schema.items, schema.values) if node is not None]
        known = schema.type in ("quantity", "time", "microtime") or any(map(_has_canonical_form, inner))
        _worthwhile[schema] = known
    return known


def _children(schema: Schema, value: Any, rewrite: Rewrite) -> Any:
    """Rewrite everything one level down; the same object when no child changed."""
    if isinstance(value, dict):
        if schema.type == "struct":
            return _members(value, lambda name: _schema_at(schema, name), rewrite)
        if schema.type == "map" and schema.values is not None and _nested(schema.values):
            return _members(value, lambda name: schema.values, rewrite)
    elif isinstance(value, list) and schema.items is not None and _nested(schema.items):
        items = [rewrite(schema.items, item) for item in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            return items
    return value


def _nested(schema: Schema) -> bool:
    """Plain scalars inside lists and maps need no visit."""
    return schema.type not in ("string", "integer", "boolean", "number", "bytes", "int-or-string", "any")


def _schema_at(schema: Schema, name: str) -> Schema | None:
    field = schema.fields.get(name)
    return field.schema if field is not None else None


def _members(value: dict[str, Any], schema_at: Callable[[str], Schema | None], rewrite: Rewrite) -> dict[str, Any]:
    changed = None
    for name, member in value.items():
        schema = schema_at(name)
        if schema is None or member is None:
            continue
        new = rewrite(schema, member)
        if new is not member:
            changed = {**value} if changed is None else changed
            changed[name] = new
    return value if changed is None else changed
