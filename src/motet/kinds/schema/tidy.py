"""Rewrite a document to what its schema allows: without unknown fields, without nulls, with canonical scalars.

All of them copy only the path to what they change and return the input itself when nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_not
from typing import Any
from weakref import WeakKeyDictionary

from motet.base import quantity, timestamps
from motet.kinds.schema.gate import is_canonical_quantity
from motet.kinds.schema.model import Schema, zero

Rewrite = Callable[[Schema, Any], Any]

_deep: WeakKeyDictionary[Schema, dict[str, Schema]] = WeakKeyDictionary()
_worthwhile: WeakKeyDictionary[Schema, bool] = WeakKeyDictionary()


def prune(schema: Schema, value: Any) -> Any:
    """The value without members that no struct in its schema knows."""
    if schema.type == "struct" and isinstance(value, dict) and not schema.preserve:
        known = schema.fields
        if not value.keys() <= known.keys():
            value = {name: member for name, member in value.items() if name in known}
    return _children(schema, value, prune)


def drop_nulls(schema: Schema, value: Any) -> Any:
    """The value without optional nulls; a null that has to be something becomes its type's zero value."""
    if schema.type == "struct" and isinstance(value, dict):
        for name in [name for name, member in value.items() if member is None] if None in value.values() else ():
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
            if isinstance(value, str) and is_canonical_quantity(value):
                return value
            try:
                printed = quantity.canonical(value)
            except ValueError:
                return value
            return printed
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
        return _members(schema, value, rewrite)
    if isinstance(value, list) and schema.items is not None and _nested(schema.items):
        inner = schema.items
        items = [rewrite(inner, item) for item in value]
        if any(map(is_not, items, value)):
            return items
    return value


def _members(schema: Schema, value: dict[str, Any], rewrite: Rewrite) -> dict[str, Any]:
    changed = None
    deep = _deep_fields(schema) if schema.type == "struct" or schema.fields else None
    if deep is None and (schema.values is None or not _nested(schema.values)):
        return value
    for name, member in value.items():
        inner = deep.get(name) if deep is not None else schema.values
        if inner is None or member is None:
            continue
        new = rewrite(inner, member)
        if new is not member:
            changed = {**value} if changed is None else changed
            changed[name] = new
    return value if changed is None else changed


def _nested(schema: Schema) -> bool:
    """Plain scalars inside lists and maps need no visit."""
    if schema.type == "any":
        return bool(schema.fields)
    return schema.type not in ("string", "integer", "boolean", "number", "bytes", "int-or-string")


def _deep_fields(schema: Schema) -> dict[str, Schema]:
    """The members of a struct that need a visit."""
    known = _deep.get(schema)
    if known is None:
        known = {field.name: field.schema for field in schema.fields.values() if _nested(field.schema)}
        _deep[schema] = known
    return known
