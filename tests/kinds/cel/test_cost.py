"""What expressions cost at most, and that none is evaluated that could take too long."""

from __future__ import annotations

from typing import Any

import pytest

from motet.kinds.cel import cost, engine, values
from motet.kinds.cel.budget import Budget, OutOfBudget
from motet.kinds.cel.engine import CostExceeded, Values
from motet.kinds.cel.sizes import OfSchema, OfValues
from motet.kinds.schema import structural

WORD = {"type": "string", "maxLength": 10}
SCHEMA = structural.convert(
    {
        "type": "object",
        "properties": {
            "number": {"type": "integer"},
            "word": WORD,
            "text": {"type": "string"},
            "few": {"type": "array", "maxItems": 10, "items": WORD},
            "many": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object", "maxProperties": 5, "additionalProperties": WORD},
        },
    }
)


def most(expression: str) -> int:
    return cost.most(engine.compile(expression, ("self",)).tree, {"self": OfSchema(SCHEMA)})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("self.number > 1", 3),
        ("self.word == 'x'", 3),
        ("self.word == self.word", 8),
        ("self.word.contains(self.word)", 20),
        ("self.number > 1 ? true : self.word == self.word", 11),
        ("'x' in self.few", 12),
        ("self.few.all(x, x == 'a')", 53),
        ("has(self.few)", 1),
    ],
)
def test_costs_are_counted_as_upstream_counts_them(expression: str, expected: int) -> None:
    assert most(expression) == expected


# As the Gateway API and others have them; upstream takes them all.
UNIQUE = (
    "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && "
    "has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))"
)
LISTENERS = {
    "type": "array",
    "maxItems": 64,
    "items": {
        "type": "object",
        "properties": {
            "port": {"type": "integer"},
            "protocol": {"type": "string", "maxLength": 255},
            "hostname": {"type": "string", "maxLength": 253},
            "key": {"type": "string", "maxLength": 316},
        },
    },
}


@pytest.mark.parametrize(
    ("schema", "rule"),
    [
        (LISTENERS, UNIQUE),
        (LISTENERS, "self.all(x, x.key in ['a', 'b'] || !x.key.find('^([^/]+)').endsWith('example.com'))"),
        ({"type": "string"}, "duration(self) >= duration('1s')"),
        ({"type": "string"}, "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')"),
        ({"type": "array", "items": {"type": "string"}}, "self.all(x, duration(x) > duration('1s'))"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "self.all(k, self[k].size() < 64 && !k.startsWith('kubernetes.io/'))",
        ),
        (
            {"x-kubernetes-int-or-string": True},
            "self == 1 || self == '10%' || quantity(self).isGreaterThan(quantity('1'))",
        ),
        ({"type": "array", "items": {"type": "object"}}, "oldSelf.size() <= self.size() && self.size() > 0"),
    ],
)
def test_rules_that_are_in_use_are_not_refused(schema: dict[str, Any], rule: str) -> None:
    size = OfSchema(structural.convert(schema))
    tree = engine.compile(rule, ("oldSelf", "self")).tree
    assert cost.most(tree, {"self": size, "oldSelf": size}) <= cost.WRITTEN


def test_a_loop_in_a_loop_multiplies() -> None:
    inner = most("self.few.all(y, y == 'a')")
    outer = most("self.few.all(x, self.few.all(y, y == 'a'))")
    assert 10 * inner < outer < 12 * inner


def test_what_a_loop_makes_is_as_large_as_what_it_ran_over() -> None:
    assert most("self.few.map(x, x + x).all(y, y == 'a')") > 2 * most("self.few.all(y, y == 'a')")
    assert most("self.few.filter(x, x != '').exists(y, y in self.few)") < 1000


def test_lists_without_a_limit_cost_too_much_together_only() -> None:
    assert most("self.many.all(x, x != '')") <= cost.WRITTEN
    assert most("self.many.all(x, self.many.all(y, x != y))") > 100 * cost.WRITTEN


@pytest.mark.parametrize(
    ("times", "said"),
    [(1.2, "factor of 1.200000x (try"), (2.25, "factor of 2.2x (try"), (1000, "factor of more than 100x (try")],
)
def test_by_how_much_is_told_in_upstreams_words(times: float, said: str) -> None:
    assert said in cost.told("estimated rule cost", int(cost.WRITTEN * times), cost.WRITTEN)


SQUARE = "self.all(x, self.all(y, x + y != 3))"


def test_an_expression_is_evaluated_if_the_values_are_small_enough() -> None:
    program = engine.compile(SQUARE, ("self",))
    assert program.evaluate(Values({"self": [2] * 50})) is True
    for many in (200, 2000):  # too many rounds for the engine; too many to let it begin
        with pytest.raises(CostExceeded, match="actual cost limit exceeded"):
            program.evaluate(Values({"self": [2] * many}))


def test_long_texts_beside_short_lists_do_no_harm() -> None:
    value = {"list": ["a", "b"], "text": "x" * 100_000}
    program = engine.compile("self.list.all(x, self.list.all(y, x + y != 'q'))", ("self",))
    assert program.evaluate(Values({"self": value})) is True


def test_no_more_is_evaluated_when_the_time_is_over() -> None:
    program, budget = engine.compile("self == 1", ("self",)), Budget()
    assert budget.evaluate(program, Values({"self": 1})) is True
    assert budget.left < 1
    budget.left = 0.0
    with pytest.raises(OutOfBudget, match="running out of cost budget"):
        budget.evaluate(program, Values({"self": 1}))


def test_sizes_of_values_are_those_of_the_largest() -> None:
    found = OfValues([{"a": ["x", "yyy"], "b": 1}])
    assert found.member("a").items().length == 3
    assert (found.member("a").length, found.member("b").length, found.member("c").length) == (2, 0, 0)


LISTS = structural.convert(
    {
        "type": "object",
        "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "plain": {"type": "array", "items": {"type": "string"}},
            "map": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    },
                },
            },
        },
    }
)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ({"set": ["a", "b"]}, {"set": ["b", "a"]}, True),
        ({"set": ["a", "b"]}, {"set": ["b", "c"]}, False),
        ({"set": ["a"]}, {"set": ["a", "b"]}, False),
        ({"plain": ["a", "b"]}, {"plain": ["b", "a"]}, False),
        ({"map": [{"name": "x"}, {"name": "y"}]}, {"map": [{"name": "y"}, {"name": "x"}]}, True),
        (
            {"map": [{"name": "x", "set": ["1", "2"]}, {"name": "y"}]},
            {"map": [{"name": "y"}, {"name": "x", "set": ["2", "1"]}]},
            True,
        ),
        ({"map": [{"name": "x", "set": ["1"]}]}, {"map": [{"name": "x", "set": ["2"]}]}, False),
    ],
)
def test_order_means_nothing_in_lists_that_are_sets_or_maps(old: Any, new: Any, same: bool) -> None:
    found = values.aligned(LISTS, old, new)
    assert (found == new) is same
