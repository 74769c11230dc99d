"""How large values may be: by their schema before there are any, and by themselves once they are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from motet.kinds.cel import values
from motet.kinds.schema.formats import normalized
from motet.kinds.schema.model import Schema

# Bytes of a request: nothing in an object is larger.
REQUEST = 3 * 1024 * 1024
_FORMATS = {"date": 10, "datetime": 30, "duration": 30}
# A code point has four bytes at most.
_WIDEST = 4
_KINDS = {
    "list": "list",
    "map": "map",
    "struct": "map",
    "dict": "map",
    "string": "text",
    "str": "text",
    "bytes": "text",
}


class Size(Protocol):
    """Of a text its bytes, of a list or map its entries; 0 for what has neither. `kind`: list, map, text, or nothing."""

    @property
    def length(self) -> int: ...

    @property
    def kind(self) -> str: ...

    def member(self, name: str) -> Size:
        """Of a member of an object."""
        ...

    def items(self) -> Size:
        """Of the largest element of a list, or value of a map."""
        ...

    def keys(self) -> Size:
        """Of the largest key of a map; of a list that of its elements."""
        ...


class Fixed:
    """A size that is known, of something whose parts are all the same; without `part` they are as large as the whole."""

    __slots__ = ("_part", "kind", "length")

    def __init__(self, length: int, part: Size | None = None, kind: str = "") -> None:
        self.length = length
        self.kind = kind
        self._part = part

    def member(self, name: str) -> Size:
        return self._part or self

    def items(self) -> Size:
        return self._part or self

    def keys(self) -> Size:
        return self._part or self


SCALAR = Fixed(0)
UNKNOWN = Fixed(REQUEST)


class OfSchema:
    """As large as a schema lets it be."""

    __slots__ = ("_schema", "kind", "length")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.length = longest(schema)
        self.kind = _KINDS.get(schema.type, "")

    def member(self, name: str) -> Size:
        for known in self._schema.fields.values():
            if values.escaped(known.name) == name:
                return OfSchema(known.schema)
        return self.items()

    def items(self) -> Size:
        inner = self._schema.items or self._schema.values
        return OfSchema(inner) if inner is not None else UNKNOWN

    def keys(self) -> Size:
        return self.items() if self.kind == "list" else UNKNOWN


def longest(schema: Schema) -> int:
    """The most bytes or entries that a schema allows."""
    rules = schema.rules
    match schema.type:
        case "list":
            return int(rules.get("maxItems") or (REQUEST - 2) // (_least(schema.items) + 1))
        case "map":
            return int(rules.get("maxProperties") or (REQUEST - 2) // (_least(schema.values) + 6))
        case "struct":
            return len(schema.fields)
        case "integer" | "number" | "boolean":
            return 0
        case "string":
            if schema.enum:
                return max(len(str(value).encode()) for value in schema.enum)
            if known := _FORMATS.get(normalized(schema.format) if schema.format else ""):
                return known
            return min(int(rules.get("maxLength", REQUEST)) * _WIDEST, REQUEST - 2)
    return REQUEST


def _least(schema: Schema | None) -> int:
    """The fewest bytes a value takes in a request."""
    if schema is None:
        return 2
    match schema.type:
        case "struct":
            needed = (member for member in schema.fields.values() if member.required)
            return 2 + sum(len(member.name) + 4 + _least(member.schema) for member in needed)
        case "boolean":
            return 4
        case "integer" | "number" | "int-or-string":
            return 1
        case "string" if schema.enum:
            return 2 + min(len(str(value).encode()) for value in schema.enum)
    return 2


class OfValues:
    """As large as the largest of some values that may stand at one place."""

    __slots__ = ("_values", "kind", "length")

    def __init__(self, found: Iterable[Any]) -> None:
        self._values = tuple(found)
        self.length = max(map(_length, self._values), default=0)
        self.kind = next((kind for value in self._values if (kind := _KINDS.get(type(value).__name__))), "")

    def member(self, name: str) -> Size:
        return OfValues(value[name] for value in self._values if isinstance(value, dict) and name in value)

    def items(self) -> Size:
        return OfValues(self._parts())

    def keys(self) -> Size:
        return OfValues(part for value in self._values if isinstance(value, list | dict) for part in value)

    def _parts(self) -> Iterator[Any]:
        for value in self._values:
            if isinstance(value, dict):
                yield from value.values()
            elif isinstance(value, list):
                yield from value


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | dict) else 0


def larger(one: Size, other: Size) -> Size:
    return one if one.length >= other.length else other
