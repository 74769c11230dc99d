"""Protobuf messages out of a table of field numbers, made while a module is imported.

A protocol of which Motet uses a few fields needs no generated code: the numbers are facts of its wire, and the rest of a
message is skipped while it is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# message -> field -> (number, type). A type is a scalar, a message of the same table, "*X" for repeated X,
# or "map" for map<string, string>. Enums travel as int32.
Tables = Mapping[str, Mapping[str, tuple[int, str]]]

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "int64": _Field.TYPE_INT64,
    "int32": _Field.TYPE_INT32,
    "uint32": _Field.TYPE_UINT32,
    "bool": _Field.TYPE_BOOL,
}


def build(package: str, table: Tables) -> dict[str, Any]:
    """A message class for every entry of `table`, by its name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for message_name, fields in table.items():
        message = file.message_type.add(name=message_name)
        for name, (number, kind) in fields.items():
            _add_field(package, message, name, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call, unused-ignore]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))  # type: ignore[no-untyped-call, unused-ignore]
        for name in table
    }


def codec(classes: Mapping[str, Any], method: tuple[str, str]) -> dict[str, Any]:
    """How gRPC is to write the request and read the response of a method, given their names."""
    request, response = method
    return {
        "request_serializer": classes[request].SerializeToString,
        "response_deserializer": classes[response].FromString,
    }


def _add_field(package: str, message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind == "map":
        # The name that protobuf's own compiler gives it.
        entry_name = f"{name.title().replace('_', '')}Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(package, entry, "key", 1, "string")
        _add_field(package, entry, "value", 2, "string")
        field.label = _Field.LABEL_REPEATED
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{entry_name}"
        return
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
        kind = kind[1:]
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{kind}"
