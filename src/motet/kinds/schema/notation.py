"""The compact form schemas are written in: the shipped table, and Motet's own kinds.

A definition is a name at the start of a line, then its members, on the same line or on indented lines after it:

    dev.motet.v1.App <motet.dev/v1/App> apiVersion:string kind:string metadata:meta.ObjectMeta=1
      spec!:AppSpec=2 status:AppStatus=3

A member is `name[!]:type[=wire][;fact]...`; `!` means required. Types are `string int32 int64 double bool bytes time
microtime quantity int-or-string any`, `[]T` for a list, `{}T` for a map, or a definition: `Capital` in the same
package, `core.X` and `meta.X` for the two common packages, or a full name. `wire` is the protobuf number, `5`, or `2.6`
for a member of an embedded message, with a `*` behind when it is a pointer in Go. Facts: `list=set`,
`list=map:key,key`, `list=atomic`, `map=atomic`, `merge=key`, `patch=a,b`, `enum=a|b`, `default=JSON`, `min=0`, `max=9`.
On the definition itself: `<group/version/Kind>` (repeatable), `<*/Kind>`, `map=atomic`, and `any` or `time` and the
like for a definition that is not a struct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from textwrap import dedent
from typing import Any

import msgspec

from motet.kinds.schema import model
from motet.kinds.schema.model import Field, FieldMap, GroupVersionKind, Schema

Resolve = Callable[[str], Schema]

_PACKAGES = {"core": "io.k8s.api.core.v1", "meta": "io.k8s.apimachinery.pkg.apis.meta.v1"}
_SCALARS: dict[str, tuple[str, str]] = {
    "string": (model.STRING, ""),
    "int32": (model.INTEGER, "int32"),
    "int64": (model.INTEGER, "int64"),
    "double": (model.NUMBER, "double"),
    "bool": (model.BOOLEAN, ""),
    "bytes": (model.BYTES, ""),
    "time": (model.TIME, ""),
    "microtime": (model.MICRO_TIME, ""),
    "quantity": (model.QUANTITY, ""),
    "int-or-string": (model.INT_OR_STRING, ""),
    "any": (model.ANY, ""),
}


def split(text: str) -> Iterator[tuple[str, str]]:
    """Definition names with the rest of their text, in order; indented lines continue, `#` lines and blanks are skipped."""
    name, body = "", ""
    for line in dedent(text).splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            body += " " + line.strip()
            continue
        if name:
            yield name, body
        name, _, body = line.partition(" ")
    if name:
        yield name, body


def kinds_of(body: str) -> tuple[GroupVersionKind, ...]:
    """The group-version-kinds a definition says it describes."""
    found = []
    for token in body.split(" "):
        if not token.startswith("<"):
            if ":" in token:
                break
            continue
        *front, kind = token[1:-1].split("/")
        group, version = ("*", "*") if front == ["*"] else (front[0] if len(front) == 2 else "", front[-1])
        found.append(GroupVersionKind(group, version, kind))
    return tuple(found)


def parse(name: str, body: str, resolve: Resolve) -> Schema:
    """The schema of one definition. Raises ValueError naming the definition and the token that cannot be read."""
    package = name.rpartition(".")[0]
    tokens = body.split()
    members = [token for token in tokens if ":" in token.split(";", 1)[0] and not token.startswith("<")]
    facts: dict[str, Any] = {"name": name, "kinds": kinds_of(body)}
    for word in tokens:
        if word.startswith("<") or word in members:
            continue
        if word in _SCALARS:
            facts["type"], facts["format"] = _SCALARS[word]
            facts["preserve"] = word == "any"
        else:
            facts.update(_facts([word], f"{name}: {word}"))
    if "type" in facts:
        return Schema(**facts)
    return Schema(type=model.STRUCT, load_fields=partial(_fields, name, package, members, resolve), **facts)


def _fields(name: str, package: str, members: list[str], resolve: Resolve) -> FieldMap:
    return {member.name: member for member in (_member(token, name, package, resolve) for token in members)}


def _member(token: str, definition: str, package: str, resolve: Resolve) -> Field:
    head, *rest = token.split(";")
    label, _, form = head.partition(":")
    type_text, _, wire = form.partition("=")
    if not label or not type_text:
        raise ValueError(f"{definition}: cannot read member {token!r}")
    schema = _type(type_text, package, resolve)
    facts = _facts(rest, f"{definition}: {token}")
    if facts:
        schema = schema.with_facts(**facts)
    numbers = tuple(int(number) for number in wire.rstrip("*").split(".")) if wire else ()
    return Field(label.rstrip("!"), schema, label.endswith("!"), numbers, wire.endswith("*"))


def _type(text: str, package: str, resolve: Resolve) -> Schema:
    if text.startswith("[]"):
        return Schema(type=model.LIST, items=_type(text[2:], package, resolve))
    if text.startswith("{}"):
        return Schema(type=model.MAP, values=_type(text[2:], package, resolve))
    scalar = _SCALARS.get(text)
    if scalar is not None:
        return Schema(type=scalar[0], format=scalar[1], preserve=text == "any")
    front, _, last = text.rpartition(".")
    return resolve(f"{_PACKAGES.get(front, front) or package}.{last}")


def _facts(parts: list[str], where: str) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    rules: dict[str, Any] = {}
    for part in parts:
        key, _, value = part.partition("=")
        match key:
            case "list":
                facts["list_type"], _, keys = value.partition(":")
                facts["list_keys"] = tuple(keys.split(",")) if keys else ()
            case "map":
                facts["map_type"] = value
            case "merge":
                facts["merge_key"] = value
            case "patch":
                facts["strategies"] = tuple(value.split(","))
            case "enum":
                facts["enum"] = tuple(value.split("|"))
            case "default":
                facts["default"] = msgspec.json.decode(value)
            case "min" | "max":
                rules["minimum" if key == "min" else "maximum"] = int(value)
            case _:
                raise ValueError(f"{where}: unknown fact {part!r}")
    if rules:
        facts["rules"] = rules
    return facts
