"""Documents as CEL sees them: values by their schema, under names an expression can spell.

Numbers of a field that is a `number` are doubles even when they are whole, texts with a time's format are times; members
whose names are no identifiers are escaped ("Validation rules": `__dot__`, `__dash__` ...).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC
from functools import lru_cache
from importlib import import_module
from typing import Any

import msgspec

from motet.base import timestamps
from motet.kinds.schema.formats import normalized
from motet.kinds.schema.model import Schema
from motet.kinds.schema.structural import somewhere

_RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
     "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SPECIAL = re.compile(r"__|[./-]")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9
}  # fmt: skip

_encode = msgspec.json.Encoder(order="sorted").encode


@lru_cache(maxsize=4096)
def escaped(name: str) -> str:
    """A member's name as expressions spell it; empty when they cannot."""
    if name in _RESERVED:
        return f"__{name}__"
    found = _SPECIAL.sub(lambda match: _ESCAPES[match.group(0)], name)
    return found if _IDENTIFIER.fullmatch(found) else ""


def of(schema: Schema, value: Any) -> Any:
    """A value of a custom resource."""
    if value is None:
        return None
    match schema.type:
        case "struct" if isinstance(value, dict):
            return _members(schema, value)
        case "map" if isinstance(value, dict):
            inner = schema.values
            return value if inner is None else {name: of(inner, member) for name, member in value.items()}
        case "list" if isinstance(value, list):
            inner = schema.items
            return value if inner is None or _as_it_is(inner) else [of(inner, item) for item in value]
        case "number" if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        case "integer" if isinstance(value, float):
            return int(value)
        case "string" if schema.format and isinstance(value, str):
            return _formatted(schema.format, value)
    return value


def _members(schema: Schema, value: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, member in value.items():
        known = schema.fields.get(name)
        if known is not None:
            if spelled := escaped(name):
                found[spelled] = of(known.schema, member)
        elif schema.preserve:
            continue  # fields the schema does not name cannot be reached
    return found


def aligned(schema: Schema, value: Any, like: Any) -> Any:
    """A value with its lists that are sets or maps in the order of another's, as far as they have the same in them.

    Order means nothing in those, so two of them that differ in nothing else are equal then.
    """
    if not somewhere(schema, "list type", lambda node: node.list_type in ("set", "map")) or value == like:
        return value
    if isinstance(value, dict) and isinstance(like, dict):
        inner = {name: schema.fields[name].schema if name in schema.fields else schema.values for name in value}
        return {
            name: member if (part := inner[name]) is None else aligned(part, member, like.get(name))
            for name, member in value.items()
        }
    if not (isinstance(value, list) and isinstance(like, list)) or schema.list_type not in ("set", "map"):
        return value
    left: dict[str, list[Any]] = {}
    for item in value:
        left.setdefault(_identity(schema, item), []).append(item)
    found = []
    for item in like:
        if items := left.get(_identity(schema, item)):
            found.append(items.pop(0) if schema.items is None else aligned(schema.items, items.pop(0), item))
    return [*found, *(item for items in left.values() for item in items)]


def _identity(schema: Schema, item: Any) -> str:
    """What makes an item of a set or a map the same as another."""
    if schema.list_type == "map" and isinstance(item, dict):
        return repr([item.get(key) for key in schema.list_keys])
    return repr(_encode(item))


def _as_it_is(schema: Schema) -> bool:
    return schema.type in ("string", "boolean", "int-or-string", "any") and not schema.format


def _formatted(form: str, text: str) -> Any:
    reader = _READERS.get(normalized(form))
    if reader is None:
        return text
    try:
        return reader(text)
    except ValueError:  # what is not of its format was complained about elsewhere
        return text


def _time(text: str) -> Any:
    made = import_module("google.protobuf.timestamp_pb2").Timestamp()
    made.FromDatetime(timestamps.parse_time(text).astimezone(UTC).replace(tzinfo=None))
    return made


def duration(text: str) -> Any:
    """A Go duration (`1h30m`). Raises ValueError."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    parts = _DURATION_PART.findall(body)
    if body != "0" and "".join(number + unit for number, unit in parts) != body:
        raise ValueError(f"time: invalid duration {text!r}")
    nanoseconds = sign * round(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))
    made = import_module("google.protobuf.duration_pb2").Duration()
    made.FromNanoseconds(nanoseconds)
    return made


_READERS: dict[str, Callable[[str], Any]] = {
    "date": lambda text: _time(f"{text}T00:00:00Z"),
    "datetime": _time,
    "duration": duration,
    "byte": base64.b64decode,
}
