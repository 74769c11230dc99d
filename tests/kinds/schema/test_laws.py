"""What holds for every document of every kind in the table."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.kinds.schema import table, validate
from motet.kinds.schema.gate import gate

KINDS = [
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.core.v1.Secret",
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.networking.v1.Ingress",
    "io.k8s.api.coordination.v1.Lease",
]
text = st.sampled_from(["", "a", "web", "10"])
SCALARS = {
    "string": text,
    "integer": st.integers(-5, 5),
    "number": st.sampled_from([0.5, 2]),
    "boolean": st.booleans(),
    "bytes": st.sampled_from(["", "YQ=="]),
    "time": st.just("2026-01-01T00:00:00Z"),
    "microtime": st.just("2026-01-01T00:00:00.000001Z"),
    "quantity": st.sampled_from(["1", "500m", "1Gi"]),
    "int-or-string": st.sampled_from([80, "http"]),
    "any": st.just({"free": [1]}),
}


def documents(schema, depth=6):
    """Documents that keep to a schema, getting shallow after `depth` levels."""
    if schema.type == "struct":
        fields = schema.fields.values()
        needed = {field.name: documents(field.schema, depth - 1) for field in fields if field.required}
        free = [field for field in fields if not field.required] if depth > 0 else []
        chosen = (
            st.lists(st.sampled_from(free), max_size=3, unique_by=lambda field: field.name) if free else st.just([])
        )
        return chosen.flatmap(
            lambda picked: st.fixed_dictionaries(
                needed | {field.name: documents(field.schema, depth - 1) for field in picked}
            )
        )
    if schema.type == "list":
        return st.lists(documents(schema.items, depth - 1), max_size=2 if depth > 0 else 0)
    if schema.type == "map":
        return st.dictionaries(text, documents(schema.values, depth - 1), max_size=2 if depth > 0 else 0)
    return SCALARS[schema.type]


def spoil(value, draw):
    """The same with unknown members and nulls strewn in."""
    if isinstance(value, dict):
        spoiled = {name: spoil(member, draw) for name, member in value.items()}
        if draw(st.integers(0, 4)) == 0:
            spoiled["neverHeardOf"] = draw(st.sampled_from([1, None, {"a": []}]))
        return spoiled
    return [spoil(item, draw) for item in value] if isinstance(value, list) else value


relaxed = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("name", KINDS)
@relaxed
@given(data=st.data())
def test_what_keeps_to_the_schema_passes_untouched(name, data):
    schema = table.get(name)
    document = data.draw(documents(schema))
    assert gate(schema)(document)
    assert validate.check(name, document) == []
    assert validate.normalize(name, document) is document


@pytest.mark.parametrize("name", KINDS)
@relaxed
@given(data=st.data())
def test_pruning_leaves_nothing_unknown_and_nothing_to_prune(name, data):
    document = spoil(data.draw(documents(table.get(name))), data.draw)
    before = copy.deepcopy(document)
    pruned = validate.prune(name, document)
    assert validate.unknown_fields(name, pruned) == []
    assert validate.prune(name, pruned) == pruned
    assert document == before


def test_every_definition_compiles_to_a_gate():
    shipped = table.shipped()
    for name in shipped:
        schema = shipped.get(name)
        if schema.kinds and not name.endswith("List"):
            assert not gate(schema)([])
