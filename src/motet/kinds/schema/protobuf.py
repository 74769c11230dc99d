"""Decode Kubernetes' protobuf request bodies into the JSON document they stand for.

A body is the magic `k8s\\0` and a `runtime.Unknown` (apimachinery, "Protobuf encoding"): the kind's name and its message.
Newer clients send every typed create this way and take no refusal, so this is not optional; answers are always JSON.
The decoder is driven by the schema table: per message a plan from field number to member, made when first needed.

Go sends every member that is no pointer, also when it is empty. An optional one that is empty is left out of the
document, as Go's JSON would (`omitempty`), and a required one is there even when empty.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from motet.base import timestamps
from motet.base.errors import BadRequest
from motet.kinds.schema import table
from motet.kinds.schema.model import Field, Schema, zero

Json = dict[str, Any]

MAGIC = b"k8s\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_JSON_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


class Malformed(BadRequest):
    """The bytes are not the protobuf they say they are."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the body of the request is not valid protobuf: {why}")


class _Raw(NamedTuple):
    """One member as read from the wire: a number, or where its bytes are."""

    wire: int
    number: int
    start: int
    end: int


Reader = Callable[[bytes, _Raw], Any]


@dataclass(slots=True)
class _Entry:
    """What to do with one field number: fill a member, or look into an embedded message."""

    name: str = ""
    read: Reader | None = None
    shape: str = "one"  # one, list, map
    # Its schema when it is left out if empty.
    sheds: Schema | None = None
    embedded: dict[int, _Entry] | None = None


@dataclass(slots=True)
class _Plan:
    entries: dict[int, _Entry] = field(default_factory=dict)
    # Required members that Go leaves off the wire when they are empty: lists and maps.
    fill: tuple[Field, ...] = ()


_plans: WeakKeyDictionary[Schema, _Plan] = WeakKeyDictionary()
_decode_json = msgspec.json.Decoder().decode


def decode(data: bytes) -> Json:
    """The document in a protobuf body, with `apiVersion` and `kind` first.

    Raises BadRequest when the bytes are broken or the kind is none that has a wire form.
    """
    if not data.startswith(MAGIC):
        raise Malformed("it does not begin with the four bytes of a Kubernetes object")
    api_version, kind, raw, encoding = "", "", b"", ""
    try:
        for number, member in _members(data, len(MAGIC), len(data)):
            if number == 1:
                for inner, text in _members(data, member.start, member.end):
                    value = data[text.start : text.end].decode()
                    api_version, kind = (value, kind) if inner == 1 else (api_version, value)
            elif number == 2:
                raw = data[member.start : member.end]
            elif number == 3:
                encoding = data[member.start : member.end].decode()
        if encoding:
            raise Malformed(f"content encoding {encoding!r} is not supported")
        schema = table.find(api_version, kind)
        if schema is None:
            raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}"')
        if raw and not plan(schema).entries:
            raise BadRequest(f'kind "{kind}" in version "{api_version}" has no protobuf form; send it as JSON')
        return {"apiVersion": api_version, "kind": kind, **message(schema, raw)}
    except (UnicodeDecodeError, struct.error, msgspec.DecodeError, OverflowError, RecursionError) as error:
        raise Malformed(str(error)) from error


def message(schema: Schema, data: bytes) -> Json:
    """The document of one message. Raises Malformed, and the errors of broken text and times."""
    return _struct(plan(schema), data, 0, len(data))


def plan(schema: Schema) -> _Plan:
    """The field numbers of a definition and how each is read."""
    known = _plans.get(schema)
    if known is None:
        known = _plans[schema] = _Plan()
        for member in schema.fields.values():
            if member.wire:
                entries = known.entries
                for number in member.wire[:-1]:
                    holder = entries.setdefault(number, _Entry(embedded={}))
                    entries = holder.embedded if holder.embedded is not None else entries
                entries[member.wire[-1]] = _entry(member)
        known.fill = tuple(m for m in schema.fields.values() if m.required and m.schema.type in ("list", "map"))
    return known


def _entry(member: Field) -> _Entry:
    schema = member.schema
    if schema.type == "list" and schema.items is not None:
        return _Entry(member.name, _reader(schema.items), "list")
    if schema.type == "map" and schema.values is not None:
        return _Entry(member.name, _map_reader(schema.values), "map")
    sheds = None if member.pointer or member.required else schema
    return _Entry(member.name, _reader(schema), sheds=sheds)


def _members(data: bytes, position: int, end: int) -> Any:
    """(field number, raw member) pairs of a message, in wire order."""
    while position < end:
        tag, position = _varint(data, position, end)
        wire = tag & 7
        if wire == _VARINT:
            number, position = _varint(data, position, end)
            yield tag >> 3, _Raw(wire, number, 0, 0)
            continue
        if wire == _BYTES:
            size, position = _varint(data, position, end)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise Malformed(f"wire type {wire} at byte {position}")
        if position + size > end:
            raise Malformed(f"a member at byte {position} runs over the end of its message")
        yield tag >> 3, _Raw(wire, 0, position, position + size)
        position += size


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    result = shift = 0
    while position < end:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            break
    raise Malformed(f"a number at byte {position} does not end")


def _struct(known: _Plan, data: bytes, start: int, end: int) -> Json:
    result: Json = {}
    _fill(known.entries, data, start, end, result)
    for member in known.fill:
        if member.name not in result:
            result[member.name] = zero(member.schema)
    return result


def _fill(entries: dict[int, _Entry], data: bytes, start: int, end: int, result: Json) -> None:
    for number, raw in _members(data, start, end):
        entry = entries.get(number)
        if entry is None:
            continue  # A field newer than the table: skipped, as every protobuf reader does.
        if entry.embedded is not None:
            _fill(entry.embedded, data, raw.start, raw.end, result)
            continue
        assert entry.read is not None
        if entry.shape == "list":
            _append(result.setdefault(entry.name, []), entry.read, data, raw)
            continue
        value = entry.read(data, raw)
        if entry.shape == "map":
            result.setdefault(entry.name, {}).update(value)
        elif value is not None and not (entry.sheds is not None and _blank(entry.sheds, value)):
            result[entry.name] = value


def _blank(schema: Schema, value: Any) -> bool:
    """Whether it is what Go sends of a value nobody set: everything in it empty and no pointer set."""
    if schema.type != "struct":
        return not value
    for name, inner in value.items():
        member = schema.fields[name]
        if member.pointer or not (inner == "0" if member.schema.type == "quantity" else _blank(member.schema, inner)):
            return False
    return True


def _append(items: list[Any], read: Reader, data: bytes, raw: _Raw) -> None:
    if raw.wire == _BYTES and read is _integer:
        position = raw.start
        while position < raw.end:  # Packed numbers: Go does not send them, others may.
            number, position = _varint(data, position, raw.end)
            items.append(_signed(number))
        return
    items.append(read(data, raw))


def _reader(schema: Schema) -> Reader:
    match schema.type:
        case "string":
            return _text
        case "integer":
            return _integer
        case "boolean":
            return _boolean
        case "number":
            return _double
        case "bytes":
            return _base64
        case "time":
            return _time
        case "microtime":
            return _micro_time
        case "quantity":
            return _quantity
        case "int-or-string":
            return _int_or_string
        case "any":
            return _any_reader(schema)
        case "list" if schema.items is not None:
            return _items_reader(_reader(schema.items))
    return lambda data, raw: _struct(plan(schema), data, raw.start, raw.end)


def _map_reader(values: Schema) -> Reader:
    read = _reader(values)

    def entry(data: bytes, raw: _Raw) -> Json:
        key, value = "", zero(values)
        for number, member in _members(data, raw.start, raw.end):
            if number == 1:
                key = _text(data, member)
            elif number == 2:
                value = read(data, member)
        return {key: value}

    return entry


def _items_reader(read: Reader) -> Reader:
    """A list inside a map or a list is a message of its own, with the items as member 1."""
    return lambda data, raw: [read(data, item) for number, item in _members(data, raw.start, raw.end) if number == 1]


def _text(data: bytes, raw: _Raw) -> str:
    return data[raw.start : raw.end].decode()


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _integer(data: bytes, raw: _Raw) -> int:
    return _signed(raw.number)


def _boolean(data: bytes, raw: _Raw) -> bool:
    return raw.number != 0


def _double(data: bytes, raw: _Raw) -> float:
    return float(struct.unpack("<d", data[raw.start : raw.end])[0])


def _base64(data: bytes, raw: _Raw) -> str:
    return base64.b64encode(data[raw.start : raw.end]).decode("ascii")


def _instant(data: bytes, raw: _Raw) -> datetime | None:
    """Go's zero time is an empty message; JSON has null for it."""
    if raw.start == raw.end:
        return None
    seconds = nanos = 0
    for number, member in _members(data, raw.start, raw.end):
        seconds, nanos = (_signed(member.number), nanos) if number == 1 else (seconds, _signed(member.number))
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _time(data: bytes, raw: _Raw) -> str | None:
    instant = _instant(data, raw)
    return None if instant is None else timestamps.format_time(instant)


def _micro_time(data: bytes, raw: _Raw) -> str | None:
    instant = _instant(data, raw)
    return None if instant is None else timestamps.format_micro_time(instant)


def _first(data: bytes, raw: _Raw) -> bytes:
    """The bytes of member 1."""
    return next((data[m.start : m.end] for number, m in _members(data, raw.start, raw.end) if number == 1), b"")


def _quantity(data: bytes, raw: _Raw) -> str:
    return _first(data, raw).decode() or "0"


def _int_or_string(data: bytes, raw: _Raw) -> int | str:
    is_text, number, text = 0, 0, ""
    for key, member in _members(data, raw.start, raw.end):
        if key == 1:
            is_text = member.number
        elif key == 2:
            number = _signed(member.number)
        else:
            text = _text(data, member)
    return text if is_text else number


def _any_reader(schema: Schema) -> Reader:
    return _UNIONS.get(schema.name.rpartition(".")[2], _embedded_json)


def _embedded_json(data: bytes, raw: _Raw) -> Any:
    """RawExtension, FieldsV1, JSON: bytes of JSON, or of a protobuf object again."""
    content = _first(data, raw)
    if not content:
        return None
    return decode(content) if content.startswith(MAGIC) else _decode_json(content)


def _schema_of(data: bytes, raw: _Raw) -> Json:
    return _struct(plan(table.get(_JSON_SCHEMA)), data, raw.start, raw.end)


def _schema_or_array(data: bytes, raw: _Raw) -> Any:
    members = list(_members(data, raw.start, raw.end))
    single = [member for number, member in members if number == 1]
    return _schema_of(data, single[0]) if single else [_schema_of(data, member) for number, member in members]


def _schema_or_bool(data: bytes, raw: _Raw) -> Any:
    members = dict(_members(data, raw.start, raw.end))
    return _schema_of(data, members[2]) if 2 in members else bool(members[1].number) if 1 in members else False


def _schema_or_strings(data: bytes, raw: _Raw) -> Any:
    members = list(_members(data, raw.start, raw.end))
    single = [member for number, member in members if number == 1]
    return _schema_of(data, single[0]) if single else [_text(data, member) for number, member in members]


# Go types that are one of two things, which JSON shows as just that thing.
_UNIONS: dict[str, Reader] = {
    "JSONSchemaPropsOrArray": _schema_or_array,
    "JSONSchemaPropsOrBool": _schema_or_bool,
    "JSONSchemaPropsOrStringArray": _schema_or_strings,
}
