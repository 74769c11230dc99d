"""Rules in CEL: refused when they are wrong, applied when they are right."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.api.custom.conftest import DEFINITIONS, Json, World, definition, tab, version

SPEC: Json = {
    "type": "object",
    "properties": {
        "min": {"type": "integer"},
        "max": {"type": "integer"},
        "ratio": {"type": "number"},
        "title": {"type": "string", "maxLength": 10},
        "until": {"type": "string", "format": "date-time"},
        "dashed-name": {"type": "string"},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        "map": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
            },
        },
    },
}


def with_rules(*at_spec: Json, **below: list[Json]) -> Json:
    """A definition with rules at `spec`, and at members of it (`map_items` for those of a list)."""
    spec = copy.deepcopy(SPEC)
    spec["x-kubernetes-validations"] = list(at_spec)
    for name, rules in below.items():
        node = spec["properties"][name.removesuffix("_items")]
        (node["items"] if name.endswith("_items") else node)["x-kubernetes-validations"] = rules
    return definition(version(schema={"type": "object", "properties": {"spec": spec}}))


async def refusal(world: World, **spec: Any) -> str:
    answer = await world.create(tab(**spec), code=422)
    return str(answer["message"]).partition(" is invalid: ")[2]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"rule": "self.mn > 1"}, "compilation failed: ERROR: <input>:1:5: undefined field 'mn'\n | self.mn > 1\n | ....^"),
        ({"rule": "self.title > 1"}, "found no matching overload for '_>_' applied to '(string, int)'"),
        ({"rule": "self.min"}, "cel expression must evaluate to a bool"),
        ({"rule": "self.min >"}, "Syntax error"),
        ({"rule": "  "}, "rule is not specified"),
        ({"rule": "true", "message": "a\nb"}, "message must not contain line breaks"),
        ({"rule": "true", "messageExpression": "self.min"}, "messageExpression must evaluate to a string"),
        ({"rule": "true", "reason": "Because"}, 'supported values: "FieldValueDuplicate", "FieldValueForbidden"'),
        ({"rule": "true", "fieldPath": ".nowhere"}, "fieldPath must be a valid path"),
    ],
)  # fmt: skip
async def test_a_rule_that_is_wrong_is_refused_with_its_definition(world: World, rule: Json, said: str) -> None:
    status, answer = await world.api.ask("POST", DEFINITIONS, with_rules(rule))
    assert status == 422
    assert said in answer["message"]
    assert answer["details"]["causes"][0]["field"].startswith(
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]."
    )


@pytest.mark.parametrize(
    "rule",
    [
        "self.min <= self.max",
        "self.ratio > 1",
        "self.ratio * 2.0 > 1.5",
        "self.until > timestamp('2020-01-01T00:00:00Z')",
        "self.dashed__dash__name.startsWith('a')",
        "self.tags.all(key, self.tags[key] != '')",
        "self.port == 1 || self.port == 'x'",
        "self.list.all(item, item.a > 0) && self.map.exists(i, item, item.name == 'x')",
        "self.?title.orValue('') == '' || quantity(self.title).isLessThan(quantity('1Gi'))",
        "has(self.map) ? self.map.map(item, item.size).sum() < 10 : true",
        "!has(oldSelf.title) || self.title == oldSelf.title",
    ],
)
async def test_a_rule_that_is_right_is_taken(world: World, rule: str) -> None:
    status, answer = await world.api.ask("POST", DEFINITIONS, with_rules({"rule": rule}))
    assert status == 201, answer


async def test_a_rule_without_words_says_itself(world: World) -> None:
    await world.define(with_rules({"rule": "self.min <= self.max"}))
    assert await refusal(world, min=2, max=1) == 'spec: Invalid value: "object": failed rule: self.min <= self.max'
    await world.create(tab(min=1, max=2))


async def test_words_reason_and_place_are_the_authors(world: World) -> None:
    rule = {
        "rule": "self.min <= self.max",
        "message": "no",
        "messageExpression": "'min is %d'.format([self.min])",
        "reason": "FieldValueForbidden",
        "fieldPath": ".max",
    }
    await world.define(with_rules(rule))
    assert await refusal(world, min=2, max=1) == "spec.max: Forbidden: min is 2"


async def test_what_a_rule_cannot_find_is_an_error_that_says_so(world: World) -> None:
    await world.define(with_rules({"rule": "self.min <= self.max", "message": "no"}))
    assert await refusal(world, min=2) == 'spec: Invalid value: "object": no such key: max evaluating rule: no'


async def test_numbers_and_times_are_of_their_schemas_type(world: World) -> None:
    await world.define(with_rules({"rule": "self.ratio + 0.5 < 3.0 && self.until.getFullYear() == 2026"}))
    await world.create(tab(ratio=2, until="2026-01-02T03:04:05Z"))
    await refusal(world, ratio=3, until="2026-01-02T03:04:05Z")


async def test_a_transition_rule_applies_to_changes_only(world: World) -> None:
    await world.define(with_rules(title=[{"rule": "self == oldSelf", "message": "it stays"}]))
    await world.create(tab(title="a"))
    await world.patch(world.path("one"), {"spec": {"min": 1}})
    answer = await world.patch(world.path("one"), {"spec": {"title": "b"}}, code=422)
    assert answer["message"].endswith('spec.title: Invalid value: "string": it stays')
    await world.patch(world.path("one"), {"spec": {"title": None}})
    await world.patch(world.path("one"), {"spec": {"title": "c"}})


async def test_an_optional_old_self_applies_to_creations_too(world: World) -> None:
    rule = {"rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": True}
    await world.define(with_rules(title=[rule]))
    await refusal(world, title="other")
    await world.create(tab(title="first"))
    await world.patch(world.path("one"), {"spec": {"title": "other"}})


async def test_items_of_a_map_list_are_compared_by_key(world: World) -> None:
    grow = {"rule": "self.size >= oldSelf.size", "message": "only ever larger"}
    await world.define(with_rules(map_items=[grow]))
    await world.create(tab(map=[{"name": "a", "size": 1}, {"name": "b", "size": 5}]))
    await world.patch(world.path("one"), {"spec": {"map": [{"name": "b", "size": 6}, {"name": "a", "size": 1}]}})
    smaller = {"spec": {"map": [{"name": "c", "size": 0}, {"name": "b", "size": 2}]}}
    answer = await world.patch(world.path("one"), smaller, code=422)
    assert answer["message"].endswith('spec.map[1]: Invalid value: "object": only ever larger')


async def test_items_of_other_lists_have_no_old_value(world: World) -> None:
    found = with_rules(list_items=[{"rule": "self.a == oldSelf.a"}])
    status, answer = await world.api.ask("POST", DEFINITIONS, found)
    assert status == 422
    assert "oldSelf cannot be used on the uncorrelatable portion of the schema within" in answer["message"]


async def test_rules_are_not_tried_on_what_is_not_of_the_right_shape(world: World) -> None:
    await world.define(with_rules({"rule": "self.min <= self.max"}))
    answer = await world.create(tab(min=2, max="x"), code=422)
    assert "<nil>: Invalid value: null: some validation rules were not checked" in answer["message"]


async def test_what_did_not_change_is_not_tried_again(world: World) -> None:
    await world.define(with_rules({"rule": "true"}))
    await world.create(tab(min=2, max=1))
    where = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations/0/rule"
    stricter = [{"op": "replace", "path": where, "value": "self.min <= self.max"}]
    await world.patch(f"{DEFINITIONS}/crontabs.example.com", stricter, "application/json-patch+json")
    await world.patch(world.path("one"), {"metadata": {"labels": {"a": "b"}}})
    await world.patch(world.path("one"), {"spec": {"min": 3}}, code=422)


async def test_a_rule_at_the_root_sees_the_name(world: World) -> None:
    openapi = {
        "type": "object",
        "properties": {"spec": SPEC},
        "x-kubernetes-validations": [{"rule": "self.metadata.name.startsWith('a')"}],
    }
    await world.define(definition(version(schema=openapi)))
    answer = await world.create(tab("b"), code=422)
    assert answer["message"].endswith(
        "<nil>: Invalid value: \"object\": failed rule: self.metadata.name.startsWith('a')"
    )
    await world.create(tab("a"))


async def test_without_the_optional_part_rules_are_refused_with_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motet.kinds.cel.engine.installed", lambda: False)
    status, answer = await world.api.ask("POST", DEFINITIONS, with_rules({"rule": "true"}))
    assert status == 422
    assert "pip install 'motet[cel]'" in answer["message"]


async def test_a_rule_that_could_take_too_long_is_refused_with_what_to_add(world: World) -> None:
    rule = {"rule": "self.all(x, self.all(y, x == y || x.a != y.a))"}
    status, answer = await world.api.ask("POST", DEFINITIONS, with_rules(list=[rule]))
    assert status == 422
    said = (
        "estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems"
    )
    assert f"properties[list].x-kubernetes-validations[0].rule: Forbidden: {said}" in answer["message"]
    assert "estimated rule cost total for entire OpenAPIv3 schema exceeds budget" in answer["message"]


async def test_many_rules_that_could_be_taken_alone_are_too_much_together(world: World) -> None:
    rules = [{"rule": f"self.all(x, x.a > {number})"} for number in range(20)]
    status, answer = await world.api.ask("POST", DEFINITIONS, with_rules(list=rules))
    assert status == 422
    assert answer["message"].count("contributed to estimated rule cost total exceeding cost limit") == 4
    assert "for entire OpenAPIv3 schema exceeds budget by factor of 1." in answer["message"]


async def test_a_rule_at_the_items_of_a_list_costs_as_often_as_there_are_items(world: World) -> None:
    rule = {"rule": "[1,2,3].exists(x, x == self.a)"}
    status, answer = await world.api.ask("POST", DEFINITIONS, with_rules(list_items=[rule]))
    assert status == 422
    assert "list].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost" in answer["message"]


async def test_a_rule_is_not_tried_on_values_that_are_too_large_for_it(world: World) -> None:
    rule = {"rule": "self.all(x, self.all(y, x + y != 3))", "message": "odd"}
    found = definition(
        version(
            schema={
                "type": "object",
                "properties": {
                    "spec": {
                        "type": "object",
                        "properties": {
                            "numbers": {
                                "type": "array",
                                "maxItems": 1000,
                                "items": {"type": "integer"},
                                "x-kubernetes-validations": [rule],
                            }
                        },
                    }
                },
            }
        )
    )
    await world.define(found)
    await world.create(tab("small", numbers=[2] * 50))
    answer = await world.create(tab("large", numbers=[2] * 1000), code=422)
    said = "no further validation rules will be run due to call cost exceeds limit for rule: odd"
    assert said in answer["message"]


async def test_order_means_nothing_in_what_was_there_before(world: World) -> None:
    keep = {"rule": "self == oldSelf", "message": "it stays"}
    await world.define(with_rules(map=[keep]))
    made = await world.create(tab(map=[{"name": "x"}, {"name": "y"}]))
    assert made["spec"]["map"][0]["name"] == "x"
    turned = [{"name": "y"}, {"name": "x"}]
    await world.patch(world.path("one"), {"spec": {"map": turned}})
    turned = [{"name": "y"}, {"name": "x", "size": 3}]
    answer = await world.patch(world.path("one"), {"spec": {"map": turned}}, code=422)
    assert "it stays" in answer["message"]
