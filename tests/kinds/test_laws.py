"""Laws that hold for any document of the right types, however senseless."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.kinds.catalogue import KINDS
from motet.kinds.kind import Kind
from motet.kinds.metadata import validate_metadata
from motet.kinds.schema import model, table, validate
from motet.kinds.schema.model import Schema

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = [
    "",
    "a",
    "web",
    "A b",
    "..",
    "/",
    "10.0.0.1",
    "latest",
    "Always",
    "ClientIP",
    "NodePort",
    "In",
    "Exists",
    "TCP",
]
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    model.STRING: st.sampled_from(WORDS),
    model.INTEGER: st.sampled_from([-1, 0, 1, 80, 70000]),
    model.NUMBER: st.sampled_from([0.0, 1.5]),
    model.BOOLEAN: st.booleans(),
    model.INT_OR_STRING: st.sampled_from([0, 1, "25%", "http"]),
    model.QUANTITY: st.sampled_from(["0", "1", "500m", "1Gi", "-1"]),
    model.TIME: st.sampled_from(["2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z"]),
    model.MICRO_TIME: st.just("2026-01-01T00:00:00.000001Z"),
    model.BYTES: st.sampled_from(["", "eA=="]),
    model.ANY: st.just({}),
}


@st.composite
def shaped(draw: st.DrawFn, schema: Schema, depth: int = 0) -> Any:
    """A value of the schema's type; the deeper, the sparser."""
    if schema.items is not None:
        size = draw(st.integers(0, 2 if depth < 5 else 1))
        return [draw(shaped(schema.items, depth + 1)) for _ in range(size)]
    if schema.values is not None:
        return {draw(st.sampled_from(WORDS)): draw(shaped(schema.values, depth + 1))}
    if schema.type != model.STRUCT:
        return draw(SCALARS[schema.type])
    names = sorted(schema.fields) if depth < 9 else []
    # The whole object has all its parts; inside, a handful of fields at a time reaches every corner in the end.
    chosen = names if depth == 0 else draw(st.lists(st.sampled_from(names), max_size=6, unique=True)) if names else []
    return {name: draw(shaped(schema.fields[name].schema, depth + 1)) for name in chosen}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.api_version} {kind.kind}")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_document_can_be_filled_in_judged_and_shown(kind: Kind, data: st.DataObject) -> None:
    document = data.draw(shaped(table.get(kind.schema)))
    kind.default(document)
    once = deepcopy(document)
    kind.default(document)
    assert document == once, "filling in twice changes nothing"
    assert validate.unknown_fields(kind.schema, document) == [], "defaults are fields of the schema"
    for column in kind.columns:
        column.cell(document, NOW)
    kind.prepare_create(document)
    for error in [*kind.validate(document, None), *validate_metadata(document, kind)]:
        assert error.message()
    if kind.scale is not None:
        kind.grace_period(document)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.api_version} {kind.kind}")
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_document_can_be_put_again_as_it_is(kind: Kind, data: st.DataObject) -> None:
    old = data.draw(shaped(table.get(kind.schema)))
    kind.default(old)
    kind.prepare_create(old)
    new = deepcopy(old)
    kind.default(new)
    kind.prepare_update(new, old)
    known = {error.message() for error in kind.validate(old, None)}
    fresh = [error.message() for error in kind.validate(new, old) if error.message() not in known]
    assert fresh == [], "an update that changes nothing meets no complaint that the creation did not"
