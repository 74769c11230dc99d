"""OpenAPI version 2 in the protobuf form of the `gnostic` project, the only one older kubectls read.

A table of the message members this server uses (numbers are facts of gnostic's OpenAPIv2.proto) and an encoder over it.
Extensions carry YAML; JSON is YAML, so that is what they get.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgspec

Json = dict[str, Any]
Codec = Callable[[int, Any], bytes]


def encode(document: Json) -> bytes:
    """The bytes of a version 2 document."""
    return _message("Document", document)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + (b"\x01" if value else b"\x00")


def _whole(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & (2**64 - 1))


def _real(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _texts(number: int, values: list[str]) -> bytes:
    return b"".join(_text(number, value) for value in values)


def _any(number: int, value: Any) -> bytes:
    return _bytes(number, _text(2, msgspec.json.encode(value).decode()))


def _anys(number: int, values: list[Any]) -> bytes:
    return b"".join(_any(number, value) for value in values)


def _of(message: str) -> Codec:
    return lambda number, value: _bytes(number, _message(message, value))


def _named(message: str) -> Codec:
    """A map, which gnostic has as a message of (name, value) messages under number 1."""

    def codec(number: int, values: Json) -> bytes:
        return _bytes(number, b"".join(_pair(1, name, _message(message, value)) for name, value in values.items()))

    return codec


def _pair(number: int, name: str, value: bytes) -> bytes:
    return _bytes(number, _text(1, name) + _bytes(2, value))


def _paths(number: int, values: Json) -> bytes:
    return _bytes(number, b"".join(_pair(2, path, _message("PathItem", item)) for path, item in values.items()))


def _responses(number: int, values: Json) -> bytes:
    """Each a ResponseValue, which is a Response (1) or a reference (2)."""
    return _bytes(
        number,
        b"".join(_pair(1, code, _bytes(1, _message("Response", value))) for code, value in values.items()),
    )


def _parameters(number: int, values: list[Json]) -> bytes:
    """Each a ParametersItem of a Parameter of a body parameter (1) or another (2), which is in the query (3) or path (4)."""
    out = b""
    for value in values:
        if value["in"] == "body":
            parameter = _bytes(1, _message("Body", value))
        elif value["in"] == "query":
            parameter = _bytes(2, _bytes(3, _message("Query", value)))
        else:
            parameter = _bytes(2, _bytes(4, _message("PathParameter", value)))
        out += _bytes(number, _bytes(1, parameter))
    return out


def _type(number: int, value: str | list[str]) -> bytes:
    return _bytes(number, _texts(1, [value] if isinstance(value, str) else value))


def _items(number: int, value: Json) -> bytes:
    return _bytes(number, _bytes(1, _message("Schema", value)))


def _additional(number: int, value: Json | bool) -> bytes:
    return _bytes(number, _flag(2, value) if isinstance(value, bool) else _bytes(1, _message("Schema", value)))


def _schema_item(number: int, value: Json) -> bytes:
    return _bytes(number, _bytes(1, _message("Schema", value)))


def _schemas(number: int, values: list[Json]) -> bytes:
    return b"".join(_bytes(number, _message("Schema", value)) for value in values)


_Members = dict[str, tuple[int, Codec]]

_QUERY: _Members = {
    "required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text),
    "type": (6, _text), "format": (7, _text), "uniqueItems": (20, _flag),
}  # fmt: skip

# Member -> number and codec, per message; "x-" stands for every extension.
_MESSAGES: dict[str, _Members] = {
    "Document": {
        "swagger": (1, _text), "info": (2, _of("Info")), "paths": (8, _paths), "definitions": (9, _named("Schema")),
    },
    "Info": {"title": (1, _text), "version": (2, _text), "description": (3, _text)},
    "PathItem": {
        "get": (2, _of("Operation")), "put": (3, _of("Operation")), "post": (4, _of("Operation")),
        "delete": (5, _of("Operation")), "patch": (8, _of("Operation")), "parameters": (9, _parameters),
    },
    "Operation": {
        "description": (3, _text), "operationId": (5, _text), "produces": (6, _texts), "consumes": (7, _texts),
        "parameters": (8, _parameters), "responses": (9, _responses), "x-": (13, _any),
    },
    "Response": {"description": (1, _text), "schema": (2, _schema_item)},
    "Body": {
        "description": (1, _text), "name": (2, _text), "in": (3, _text), "required": (4, _flag),
        "schema": (5, _of("Schema")),
    },
    "Query": _QUERY,
    "PathParameter": {
        "required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text),
        "type": (5, _text), "format": (6, _text), "uniqueItems": (19, _flag),
    },
    "Schema": {
        "$ref": (1, _text), "format": (2, _text), "title": (3, _text), "description": (4, _text), "default": (5, _any),
        "multipleOf": (6, _real), "maximum": (7, _real), "exclusiveMaximum": (8, _flag), "minimum": (9, _real),
        "exclusiveMinimum": (10, _flag), "maxLength": (11, _whole), "minLength": (12, _whole), "pattern": (13, _text),
        "maxItems": (14, _whole), "minItems": (15, _whole), "uniqueItems": (16, _flag), "maxProperties": (17, _whole),
        "minProperties": (18, _whole), "required": (19, _texts), "enum": (20, _anys),
        "additionalProperties": (21, _additional), "type": (22, _type), "items": (23, _items), "allOf": (24, _schemas),
        "properties": (25, _named("Schema")), "x-": (31, _any),
    },
}  # fmt: skip


def _message(name: str, value: Json) -> bytes:
    members = _MESSAGES[name]
    out = []
    for key, inner in value.items():
        if key.startswith("x-"):
            number, _ = members["x-"]
            out.append(_bytes(number, _text(1, key) + _any(2, inner)))
        elif key in members:  # What version 2 cannot say (nullable, oneOf) is left out.
            number, codec = members[key]
            out.append(codec(number, inner))
    return b"".join(out)
