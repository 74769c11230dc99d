"""Writes as the API makes them, less the store: what comes out, and the complaints."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from motet.base.errors import FieldError
from motet.kinds.kind import Kind
from motet.kinds.schema import validate

Json = dict[str, Any]
Merge = Callable[..., Json]


def merged(base: Json, changes: Json) -> Json:
    """A copy of `base` with `changes` laid over it; None removes."""
    result = deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result


@pytest.fixture
def change() -> Merge:
    return merged


@pytest.fixture
def created() -> Callable[[Kind, Json], Json]:
    """The stored form of a new document, checked against its schema."""

    def create(kind: Kind, document: Json) -> Json:
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "web"}, **deepcopy(document)}
        if kind.namespaced:
            whole["metadata"].setdefault("namespace", "default")
        kind.default(whole)
        kind.prepare_create(whole)
        assert validate.check(kind.schema, whole) == []
        assert validate.unknown_fields(kind.schema, whole) == []
        return whole

    return create


@pytest.fixture
def complaints(created: Callable[[Kind, Json], Json]) -> Callable[[Kind, Json], list[str]]:
    """The messages a new document meets."""

    def find(kind: Kind, document: Json) -> list[str]:
        return messages(kind.validate(created(kind, document), None))

    return find


@pytest.fixture
def update_complaints(created: Callable[[Kind, Json], Json]) -> Callable[[Kind, Json, Json], list[str]]:
    """The messages that changing a document meets; `changes` are laid over the stored form."""

    def find(kind: Kind, document: Json, changes: Json) -> list[str]:
        old = created(kind, document)
        new = merged(old, changes)
        kind.default(new)
        kind.prepare_update(new, old)
        return messages(kind.validate(new, old))

    return find


def messages(errors: list[FieldError]) -> list[str]:
    return [error.message() for error in errors]
