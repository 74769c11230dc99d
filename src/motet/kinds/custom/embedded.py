"""Whole objects inside custom resources (x-kubernetes-embedded-resource): their kind and metadata have rules too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from motet.base import names
from motet.base.errors import FieldError, invalid
from motet.kinds.kind import Json, Kind
from motet.kinds.metadata import validate_metadata
from motet.kinds.schema.model import Schema
from motet.kinds.schema.structural import somewhere

_ANYTHING = Kind(
    group="", version="", kind="", plural="", namespaced=False, any_finalizers=True, name_error=lambda name: ""
)
_NAMESPACED = replace(_ANYTHING, namespaced=True)


def complaints(schema: Schema, value: Any, path: str = "") -> list[FieldError]:
    """Everything wrong with the embedded objects below a value."""
    return list(_walk(schema, value, path)) if _has_any(schema) else []


def _has_any(schema: Schema) -> bool:
    return somewhere(schema, "embedded", lambda node: node.embedded)


def _walk(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    if not _has_any(schema):
        return
    if isinstance(value, dict):
        if schema.embedded:
            yield from _object(value, path)
        for name, member in value.items():
            if schema.values is not None:
                yield from _walk(schema.values, member, f"{path}[{name}]")
            elif name in schema.fields:
                yield from _walk(schema.fields[name].schema, member, _joined(path, name))
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            yield from _walk(schema.items, item, f"{path}[{index}]")


def _object(value: Json, path: str) -> Iterator[FieldError]:
    for name in ("apiVersion", "kind"):
        if value.get(name) == "":
            yield invalid(_joined(path, name), "", "must not be empty")
    version, kind, metadata = value.get("apiVersion"), value.get("kind"), value.get("metadata")
    if isinstance(version, str) and version.count("/") > 1:
        yield invalid(_joined(path, "apiVersion"), version, f"unexpected GroupVersion string: {version}")
    if isinstance(kind, str) and kind and (problem := names.label_1035_error(kind.lower())):
        yield invalid(_joined(path, "kind"), kind, f"may have mixed case, but should otherwise match: {problem}")
    if isinstance(metadata, dict):
        named = {**metadata, "name": metadata.get("name") or "fakename"}
        scope = _NAMESPACED if metadata.get("namespace") else _ANYTHING
        for error in validate_metadata({"metadata": named}, scope):
            yield replace(error, path=_joined(path, error.path))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
