"""Whether the defaults in a custom resource's schema are values the schema itself would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from motet.base.errors import FieldError, invalid
from motet.kinds.custom import embedded
from motet.kinds.schema import listtypes, rules, structural, walk

Json = Mapping[str, Any]


def problems(node: Json, path: str) -> list[FieldError]:
    """Complaints about every default below `path`. The schema should be structural already."""
    return list(_walk(node, path))


def _walk(node: Json, path: str) -> Iterator[FieldError]:
    if node.get("default") is not None:
        yield from _default(node, f"{path}.default")
    # Defaults inside additionalProperties are filled in as well, so they are looked at as well.
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), Mapping):
            yield from _walk(node[name], f"{path}.{name}")
    for name, child in (node.get("properties") or {}).items():
        yield from _walk(child, f"{path}.properties[{name}]")


def _default(node: Json, path: str) -> Iterator[FieldError]:
    schema, value = structural.convert({**node, "default": None}), node["default"]
    findings = walk.find(schema, value)
    if findings.unknown:
        yield invalid(path, value, "must not have unknown fields")
        return
    found = [*findings.errors, *listtypes.complaints(schema, value), *embedded.complaints(schema, value)]
    for error in found:
        yield replace(error, path=_joined(path, error.path))


def _joined(path: str, inner: str) -> str:
    if not inner or inner == rules.NOWHERE:
        return path
    return f"{path}{inner}" if inner.startswith("[") else f"{path}.{inner}"
