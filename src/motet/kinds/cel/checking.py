"""Finding mistakes in an expression before it ever runs: the types of a schema, told to the engine's checker.

The checker knows structured types as protobuf messages, so a schema becomes a set of message descriptors that nothing is
ever encoded in: a field for every member an expression can spell. What the schema leaves open (preserved fields,
int-or-string) is of any type, and so are lists of lists, which protobuf has no words for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from itertools import count
from typing import Any

from motet.kinds.cel import engine, rewriting, values
from motet.kinds.cel.engine import CompileError
from motet.kinds.schema.formats import normalized
from motet.kinds.schema.model import Schema

_PACKAGE = "motet"
_ANYTHING = ".google.protobuf.Value"
_KNOWN = ("struct", "timestamp", "duration", "wrappers")
_SCALARS = {"string": 9, "integer": 3, "number": 1, "boolean": 8}
_MESSAGE, _BYTES = 11, 12
_FORMATS = {
    "date": (_MESSAGE, ".google.protobuf.Timestamp"),
    "datetime": (_MESSAGE, ".google.protobuf.Timestamp"),
    "duration": (_MESSAGE, ".google.protobuf.Duration"),
    "byte": (_BYTES, ""),
}
# Numbers of different types may be compared, which the engine does but its checker does not know.
_NUMBERS_COMPARED = re.compile(
    r"found no matching overload for '_[<>]=?_' applied to '\((?:int|uint|double), (?:int|uint|double)\)'"
)
_INSIDE = re.compile(rf" not found in struct '{_PACKAGE}\.[^']*'")
_PLACE = re.compile(r"ERROR: <input>:(\d+):")
_OURS = re.compile(rf"{_PACKAGE}\.M\d+")

# (protobuf type, name of a message type)
_Type = tuple[int, str]


class Types:
    """The types of one schema; make a checker for each place that has rules."""

    def __init__(self) -> None:
        self._descriptors = import_module("google.protobuf.descriptor_pb2")
        self._file = self._descriptors.FileDescriptorProto(name="motet.proto", package=_PACKAGE, syntax="proto3")
        for name in _KNOWN:
            self._file.dependency.append(f"google/protobuf/{name}.proto")
        self._numbers = count()
        self._places: dict[Schema, tuple[str, _Type]] = {}
        self._messages: dict[Schema, str] = {}

    def place(self, schema: Schema) -> None:
        """Make the types of a place known, before any checker is asked for."""
        if schema not in self._places:
            holder = self._file.message_type.add(name=f"M{next(self._numbers)}")
            self._places[schema] = (f"{_PACKAGE}.{holder.name}", self._field(holder, 1, "self", schema))

    def checker(self) -> Checker:
        pool = import_module("google.protobuf.descriptor_pool").DescriptorPool()
        for name in _KNOWN:
            known = self._descriptors.FileDescriptorProto()
            import_module(f"google.protobuf.{name}_pb2").DESCRIPTOR.CopyToProto(known)
            pool.Add(known)
        pool.Add(self._file)
        return Checker(pool, self._places)

    def _field(self, message: Any, number: int, name: str, schema: Schema) -> _Type:
        """Add a field to a message; gives its type."""
        field = message.field.add(name=name, number=number, json_name=f"f{number}", label=1)
        inner = schema.items if schema.type == "list" else schema.values if schema.type == "map" else schema
        if inner is None or (schema.type in ("list", "map") and inner.type in ("list", "map")):
            kind: _Type = (_MESSAGE, _ANYTHING)
            repeated = schema.type == "list"
        else:
            kind, repeated = self._type(inner), schema.type == "list"
        if schema.type == "map":
            kind, repeated = (_MESSAGE, self._entry(message, number, kind)), True
        _set(field, kind)
        if repeated:
            field.label = 3
        return kind

    def _entry(self, message: Any, number: int, kind: _Type) -> str:
        """The message of a map's entries, which protobuf wants to be called after its field."""
        name = message.field[-1].name
        spelled = "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Entry"
        entry = message.nested_type.add(name=spelled)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=9, label=1)
        value = entry.field.add(name="value", number=2, label=1)
        _set(value, kind)
        return f".{_PACKAGE}.{message.name}.{spelled}"

    def _type(self, schema: Schema) -> _Type:
        if schema.type == "struct":
            return _MESSAGE, self._message(schema)
        if schema.type == "string" and (known := _FORMATS.get(normalized(schema.format))):
            return known
        if schema.type in _SCALARS:
            return _SCALARS[schema.type], ""
        return (_MESSAGE, ".google.protobuf.Timestamp") if schema.type == "time" else (_MESSAGE, _ANYTHING)

    def _message(self, schema: Schema) -> str:
        if known := self._messages.get(schema):
            return known
        message = self._file.message_type.add(name=f"M{next(self._numbers)}")
        name = self._messages[schema] = f".{_PACKAGE}.{message.name}"
        number = 0
        for member in schema.fields.values():
            if spelled := values.escaped(member.name):
                number += 1
                self._field(message, number, spelled, member.schema)
        return name


class Checker:
    """Checks expressions over the value at a place."""

    def __init__(self, pool: Any, places: Mapping[Schema, tuple[str, _Type]]) -> None:
        self._pool = pool
        self._places = places
        loaded = engine.load()
        variables = {"motet_any": loaded.Type.DYN}
        for number, schema in enumerate(places):
            variables[f"motet_self_{number}"] = self._variable(loaded, schema)
        self._names = {schema: f"motet_self_{number}" for number, schema in enumerate(places)}
        # Making one is dear, so there is one for all places, each with a variable of its own.
        self._environment = loaded.NewEnv(descriptor_pool=pool, variables=variables, extensions=engine.extensions())

    def check(self, expression: str, schema: Schema, *, optional_old: bool = False) -> str:
        """Compile an expression over `self` and `oldSelf`; gives the name of its type (DYN for any).

        Raises CompileError with the compiler's words.
        """
        return self.check_with(expression, {"self": schema, "oldSelf": None if optional_old else schema})

    def check_with(self, expression: str, variables: Mapping[str, Schema | None]) -> str:
        """The same over any variables, each of the type of a place or, for None, of any type."""
        # On a line of its own, so that places in messages are places in the expression.
        bound = f"\n{rewriting.rewritten(expression)}\n"
        for name, schema in reversed(list(variables.items())):
            bound = f"cel.bind({name}, {'motet_any' if schema is None else self._names[schema]}, {bound})"
        try:
            compiled = self._environment.compile(bound)
        except RuntimeError as error:
            issues = _issues(engine.clean_issues(str(error)))
            if not issues:
                return "DYN"
            raise CompileError("\n".join(issues)) from error
        return str(compiled.return_type().name())

    def _variable(self, loaded: Any, schema: Schema) -> Any:
        """The type of a place, as a variable's."""
        types = loaded.Type
        _, (number, name) = self._places[schema]
        base = _variable_type(types, number, name)
        if schema.type == "list":
            return types.List(base)
        if schema.type == "map":
            inner = schema.values
            return types.Map(types.STRING, types.DYN if inner is None else self._inner(loaded, schema))
        return base

    def _inner(self, loaded: Any, schema: Schema) -> Any:
        holder, _ = self._places[schema]
        descriptor = self._pool.FindMessageTypeByName(holder)
        value = descriptor.fields_by_name["self"].message_type.fields_by_name["value"]
        name = f".{value.message_type.full_name}" if value.message_type is not None else ""
        return _variable_type(loaded.Type, value.type, name)


def _set(field: Any, kind: _Type) -> None:
    field.type, name = kind
    if name:
        field.type_name = name


def _variable_type(types: Any, number: int, name: str) -> Any:
    if number != _MESSAGE:
        return {9: types.STRING, 3: types.INT, 1: types.DOUBLE, 8: types.BOOL, _BYTES: types.BYTES}[number]
    known = {
        _ANYTHING: types.DYN,
        ".google.protobuf.Timestamp": types.TIMESTAMP,
        ".google.protobuf.Duration": types.DURATION,
    }
    return known.get(name) or types(name[1:])


def _issues(text: str) -> list[str]:
    """The issues that are issues, each with its lines, as if the expression had been compiled alone."""
    found = re.split(r"\n(?=ERROR: )", text)
    kept = [issue for issue in found if not _NUMBERS_COMPARED.search(issue)]
    return [_OURS.sub("object", _INSIDE.sub("", _PLACE.sub(_line_before, issue))) for issue in kept]


def _line_before(found: re.Match[str]) -> str:
    return f"ERROR: <input>:{max(int(found.group(1)) - 1, 1)}:"
