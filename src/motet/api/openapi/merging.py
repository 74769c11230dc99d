"""OpenAPI 2 documents of other servers made part of this one's: their paths, and the definitions these need.

Two servers may call different things by one name; the second then gets another name, in everything taken from it. A
document that cannot be told in the protobuf form is left out, so that no other server can spoil what is told of this one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from motet.api.openapi import gnostic

log = logging.getLogger(__name__)

Json = dict[str, Any]
_DEFINITIONS = "#/definitions/"


class Part(NamedTuple):
    """What the server of a group and version says of itself."""

    group: str
    version: str
    document: Json


def merged(own: Json, parts: Iterable[Part]) -> Json:
    """`own`, which stays as it is, with what the parts say of their groups and versions."""
    paths, definitions = dict(own["paths"]), dict(own["definitions"])
    for part in parts:
        try:
            added_paths, added = _taken(part, definitions)
            gnostic.encode({"swagger": "2.0", "paths": added_paths, "definitions": added})
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError) as error:
            log.warning("the OpenAPI of %s/%s is left out: %r", part.group, part.version, error)
            continue
        paths.update(added_paths)
        definitions.update(added)
    return {**own, "paths": paths, "definitions": definitions}


def _taken(part: Part, present: Json) -> tuple[Json, Json]:
    """The paths of its version, and their definitions by the names they get."""
    document = part.document
    prefix = f"/apis/{part.group}/{part.version}/"
    paths = {
        path: _resolved(item, document)
        for path, item in document.get("paths", {}).items()
        if f"{path}/".startswith(prefix)
    }
    known = document.get("definitions", {})
    needed = _needed([*paths.values(), *_of_version(known, part)], known)
    for name, schema in known.items():
        if _is_of(schema, part):
            needed.setdefault(name, schema)
    names = {name: _free(name, schema, present) for name, schema in needed.items()}
    renamed = {names[name]: _renamed(schema, names) for name, schema in needed.items()}
    return {path: _renamed(item, names) for path, item in paths.items()}, renamed


def _of_version(known: Json, part: Part) -> Iterator[Json]:
    return (schema for schema in known.values() if _is_of(schema, part))


def _is_of(schema: Json, part: Part) -> bool:
    kinds = schema.get("x-kubernetes-group-version-kind") or ()
    return any((each.get("group"), each.get("version")) == (part.group, part.version) for each in kinds)


def _needed(roots: list[Any], known: Json) -> Json:
    """The definitions that are referred to, however far away."""
    found: Json = {}
    left = [name for root in roots for name in _references(root)]
    while left:
        name = left.pop()
        if name not in found:
            found[name] = known[name]
            left += _references(known[name])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        target = value.get("$ref")
        if isinstance(target, str) and target.startswith(_DEFINITIONS):
            yield target.removeprefix(_DEFINITIONS)
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _free(name: str, schema: Json, present: Json) -> str:
    """Its own name if that means the same here or nothing; else one with a number behind it."""
    wanted, number = name, 1
    while wanted in present and present[wanted] != schema:
        number += 1
        wanted = f"{name}_v{number}"
    return wanted


def _renamed(value: Any, names: dict[str, str]) -> Any:
    def reference(text: str) -> str:
        name = text.removeprefix(_DEFINITIONS)
        return _DEFINITIONS + names[name] if text.startswith(_DEFINITIONS) else text

    return _changed(value, reference)


def _changed(value: Any, reference: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_changed(inner, reference) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        key: reference(inner) if key == "$ref" and isinstance(inner, str) else _changed(inner, reference)
        for key, inner in value.items()
    }


def _resolved(item: Any, document: Json) -> Any:
    """A path with its parameters and responses written out where they are shared."""
    if isinstance(item, list):
        return [_resolved(inner, document) for inner in item]
    if not isinstance(item, dict):
        return item
    target = item.get("$ref")
    for kind in ("parameters", "responses"):
        if isinstance(target, str) and target.startswith(f"#/{kind}/"):
            return document[kind][target.removeprefix(f"#/{kind}/")]
    return {key: _resolved(inner, document) for key, inner in item.items()}
