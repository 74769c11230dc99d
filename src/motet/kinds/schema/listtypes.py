"""Lists of custom resources that are sets or maps: no item, and no key, twice (Kubernetes "Merge strategy")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from motet.base.errors import FieldError, duplicate, invalid
from motet.kinds.schema.model import Schema
from motet.kinds.schema.structural import somewhere

_encode = msgspec.json.Encoder(order="sorted").encode


def complaints(schema: Schema, value: Any, path: str = "") -> list[FieldError]:
    """Every item that repeats an earlier one."""
    return list(_walk(schema, value, path)) if _has_any(schema) else []


def _has_any(schema: Schema) -> bool:
    return somewhere(schema, "list type", lambda node: node.list_type in ("set", "map") and not node.typed)


def _walk(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    if not _has_any(schema):
        return
    if isinstance(value, dict):
        for name, member in value.items():
            if schema.values is not None:
                yield from _walk(schema.values, member, f"{path}[{name}]")
            elif name in schema.fields:
                yield from _walk(schema.fields[name].schema, member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        if schema.list_type == "set":
            yield from _repeated(value, path)
        elif schema.list_type == "map":
            yield from _repeated_keys(schema, value, path)
        if schema.items is not None:
            for index, item in enumerate(value):
                yield from _walk(schema.items, item, f"{path}[{index}]")


def _repeated_keys(schema: Schema, items: list[Any], path: str) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        if item is not None and not isinstance(item, dict):
            yield invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")
            return
    keys = [{key: item[key] for key in schema.list_keys if key in item} if item else {} for item in items]
    yield from _repeated(keys, path)


def _repeated(items: list[Any], path: str) -> Iterator[FieldError]:
    """The second of its kind is told, further ones are not, as upstream does."""
    seen: dict[bytes, int] = {}
    for index, item in enumerate(items):
        key = _encode(item)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            yield duplicate(f"{path}[{index}]", item)
