"""From what an expression gives to a changed object: an applied configuration, or the operations of a JSON patch. Pure."""

from __future__ import annotations

from typing import Any

from motet.api.apply import merging
from motet.api.apply.fields import below, is_atomic
from motet.api.patch import json_patch
from motet.base.errors import ApiError
from motet.kinds.cel.engine import EvaluationError
from motet.kinds.kind import Json
from motet.kinds.mutatingadmissionpolicy import APPLY
from motet.kinds.schema.model import Schema

_IDENTITY = ("apiVersion", "kind")
_NAMES = ("generateName", "name", "namespace", "uid")


def changed(schema: Schema, current: Json, kind: str, found: Any) -> Json:
    """The object after a mutation of that kind. Raises EvaluationError for what cannot be carried out."""
    made = _applied(schema, current, found) if kind == APPLY else _patched(current, found)
    if not isinstance(made, dict) or any(made.get(name) != current.get(name) for name in _IDENTITY):
        raise EvaluationError("the apiVersion and kind of an object must not be changed")
    return made


def _applied(schema: Schema, current: Json, found: Any) -> Json:
    if not isinstance(found, dict):
        raise EvaluationError("invalid ApplyConfiguration: the expression must give an Object")
    if any(name in found for name in _IDENTITY):
        raise EvaluationError("invalid ApplyConfiguration: apiVersion and kind may not be set")
    metadata = found.get("metadata")
    for name in _NAMES:
        if isinstance(metadata, dict) and name in metadata:
            raise EvaluationError(f"invalid ApplyConfiguration: metadata.{name} may not be set")
    place = _atomic(schema, found, "")
    if place:
        raise EvaluationError(
            f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {place.removeprefix('.')}"
        )
    merged: Json = merging.merge(schema, current, found)
    return merged


def _atomic(schema: Schema | None, value: Any, path: str) -> str:
    """The first place in a configuration that is only ever replaced as a whole; empty when there is none."""
    if isinstance(value, dict):
        if path and is_atomic(schema, value):
            return path
        return next(
            filter(None, (_atomic(below(schema, name), part, f"{path}.{name}") for name, part in value.items())), ""
        )
    if isinstance(value, list):
        if schema is None or is_atomic(schema, value):
            return path
        return next(filter(None, (_atomic(schema.items, item, f"{path}[{at}]") for at, item in enumerate(value))), "")
    return ""


def _patched(current: Json, found: Any) -> Any:
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise EvaluationError("the expression of a jsonPatch must give a list of JSONPatch")
    try:
        return json_patch(current, found)
    except ApiError as error:
        raise EvaluationError(error.message) from error
