"""The slow, complete look at a document: every unknown field, every wrong type, every broken rule, with its path.

Paths are upstream's (`spec.containers[0].image`). The sentence about a value that does not fit its Go type is the one
Go's JSON decoder would give: it names the innermost Go type and the path without indices, since clients and people
search for these words.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from motet.base import errors, quantity
from motet.base.errors import FieldError
from motet.kinds.schema import rules
from motet.kinds.schema.gate import INT_LIMITS, is_quantity, is_time
from motet.kinds.schema.model import Schema

_GO_TYPES = {
    "string": "string", "bytes": "string", "time": "string", "microtime": "string",
    "boolean": "bool", "int-or-string": "int32", "number": "float64",
}  # fmt: skip
# Types that decode themselves, so Go reports them without the struct around them.
_SELF_DECODING = frozenset(("int-or-string", "time", "microtime"))
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "struct": (dict,), "map": (dict,), "list": (list,), "string": (str,), "bytes": (str,), "time": (str,),
    "microtime": (str,), "boolean": (bool,), "integer": (int,), "number": (int, float),
    "int-or-string": (int, str), "quantity": (str, int, float),
}  # fmt: skip
_OPENAPI_TYPES = {"struct": "object", "map": "object", "list": "array", "int-or-string": "integer,string"}


@dataclass
class Findings:
    """What one walk found. `undecodable` are Go decoder sentences, without the path in front."""

    unknown: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk is: the path for people, and what Go's decoder calls the place."""

    path: str = ""
    go_path: str = ""
    owner: str = ""

    def member(self, name: str, owner: Schema) -> _Place:
        own = owner.name.rpartition(".")[2] or self.owner
        return _Place(_join(self.path, name), _join(self.go_path, name), own)

    def key(self, name: str) -> _Place:
        return _Place(f"{self.path}[{name}]", self.go_path, self.owner)

    def item(self, index: int) -> _Place:
        return _Place(f"{self.path}[{index}]", self.go_path, self.owner)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def find(schema: Schema, document: Any) -> Findings:
    """Everything wrong with a document."""
    findings = Findings()
    _walk(schema, document, _Place(), findings)
    return findings


def _walk(schema: Schema, value: Any, place: _Place, findings: Findings) -> None:
    if value is None:
        if not schema.typed and not schema.nullable and schema.type != "any":
            findings.errors.append(_wrong_type(schema, value, place.path))
        return
    if not _fits(schema, value):
        if schema.typed:
            findings.undecodable.append(_cannot_unmarshal(schema, value, place))
        else:
            findings.errors.append(_wrong_type(schema, value, place.path))
        return
    match schema.type:
        case "struct":
            _walk_struct(schema, value, place, findings)
        case "any":
            if isinstance(value, dict) and schema.fields:
                _walk_struct(schema, value, place, findings)
        case "map":
            if schema.values is not None:
                for name, member in value.items():
                    _walk(schema.values, member, place.key(name), findings)
        case "list":
            if schema.items is not None:
                for index, item in enumerate(value):
                    _walk(schema.items, item, place.item(index), findings)
        case _:
            why = unreadable(schema, value)
            if why:
                findings.undecodable.append(why)
    if schema.enum and not any(rules.same(value, allowed) for allowed in schema.enum):
        findings.errors.append(rules.not_allowed(value, schema.enum, place.path))
    if schema.rules:
        findings.errors.extend(rules.broken(schema.rules, value, place.path))
    if schema.format and not schema.typed:
        findings.errors.extend(rules.bad_format(schema.format, value, place.path))


def _walk_struct(schema: Schema, value: dict[str, Any], place: _Place, findings: Findings) -> None:
    for name, member in value.items():
        known = schema.fields.get(name)
        if known is not None:
            _walk(known.schema, member, place.member(name, schema), findings)
        elif not schema.preserve:
            findings.unknown.append(_join(place.path, name))
    for known in schema.fields.values():
        if known.required and known.name not in value:
            # Of an embedded object: what says which kind it is.
            detail = "must not be empty" if schema.embedded and known.name in ("apiVersion", "kind") else ""
            findings.errors.append(errors.required(_join(place.path, known.name), detail))


def _fits(schema: Schema, value: Any) -> bool:
    """Whether the value's JSON type is one the schema's type can be decoded from."""
    if schema.type == "any":
        return True
    if isinstance(value, bool):
        return schema.type == "boolean"
    if schema.type == "integer" and isinstance(value, int):
        low, high = INT_LIMITS.get(schema.format, (value, value))
        return low <= value <= high
    if schema.type == "integer" and not schema.typed and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _JSON_TYPES[schema.type])


def unreadable(schema: Schema, value: Any) -> str:
    """Why a scalar of the right JSON type still cannot be decoded, in upstream's words; empty when it can."""
    match schema.type:
        case "quantity" if isinstance(value, str) and not is_quantity(value):
            return quantity.MESSAGE
        case "time" | "microtime" if not is_time(value):
            layout = "2006-01-02T15:04:05Z07:00" if schema.type == "time" else "2006-01-02T15:04:05.000000Z07:00"
            return f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"'
        case "bytes":
            return _base64_fault(value)
    return ""


def _base64_fault(text: str) -> str:
    plain = text.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        odd = re.search(r"[^A-Za-z0-9+/]", plain)
        return f"illegal base64 data at input byte {odd.start() if odd else len(plain) - len(plain) % 4}"
    return ""


def _json_word(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {dict: "object", list: "array", str: "string", type(None): "null"}.get(type(value), "number")


def _go_type(schema: Schema) -> str:
    match schema.type:
        case "struct":
            *_, version, kind = ("", *schema.name.split("."))
            return f"{version}.{kind}" if schema.name else "struct"
        case "list" if schema.items is not None:
            return f"[]{_go_type(schema.items)}"
        case "map" if schema.values is not None:
            return f"map[string]{_go_type(schema.values)}"
        case "integer":
            return schema.format or "int64"
    return _GO_TYPES.get(schema.type, schema.type)


def _cannot_unmarshal(schema: Schema, value: Any, place: _Place) -> str:
    word = _json_word(value)
    if word == "number" and schema.type == "integer":
        word = f"number {value}"
    if schema.type == "quantity":
        return quantity.MESSAGE
    if schema.type in _SELF_DECODING or not place.go_path:
        return f"json: cannot unmarshal {word} into Go value of type {_go_type(schema)}"
    return (
        f"json: cannot unmarshal {word} into Go struct field {place.owner}.{place.go_path} of type {_go_type(schema)}"
    )


def _wrong_type(schema: Schema, value: Any, path: str) -> FieldError:
    return rules.wrong_type(_OPENAPI_TYPES.get(schema.type, schema.type), value, path)
