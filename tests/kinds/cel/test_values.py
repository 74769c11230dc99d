"""Names and values as expressions see them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from motet.kinds.cel import rewriting, values
from motet.kinds.cel.tokens import mentions, tokens
from motet.kinds.schema import structural


def test_names_that_are_no_identifiers_are_escaped() -> None:
    names = ("plain", "a-b", "a.b", "a/b", "a__b", "in", "namespace", "9a", "a b")
    expected = (
        "plain",
        "a__dash__b",
        "a__dot__b",
        "a__slash__b",
        "a__underscores__b",
        "__in__",
        "__namespace__",
        "",
        "",
    )
    assert tuple(map(values.escaped, names)) == expected


@given(st.text("ab_-./", min_size=1, max_size=6), st.text("ab_-./", min_size=1, max_size=6))
def test_law_different_names_stay_different(one: str, other: str) -> None:
    if one != other and values.escaped(one):
        assert values.escaped(one) != values.escaped(other)


def test_numbers_are_doubles_and_times_are_times() -> None:
    openapi = {
        "type": "object",
        "properties": {
            "n": {"type": "number"},
            "t": {"type": "string", "format": "date-time"},
            "d": {"type": "array", "items": {"type": "string", "format": "duration"}},
        },
    }
    seen = values.of(structural.convert(openapi), {"n": 2, "t": "2026-01-02T03:04:05Z", "d": ["1h30m"]})
    assert isinstance(seen["n"], float)
    assert seen["t"].ToJsonString() == "2026-01-02T03:04:05Z"
    assert [each.seconds for each in seen["d"]] == [5400]


@given(st.text("ab.(),[]{}\"'\\ i:v0", max_size=40))
def test_law_text_without_two_variables_is_left_alone(expression: str) -> None:
    assert rewriting.rewritten(expression) == expression


def test_tokens_know_what_is_text() -> None:
    assert [token.text for token in tokens("a.b('x, (y') // c")] == ["a", ".", "b", "(", "'x, (y'", ")"]


def test_a_variable_is_not_a_member_of_that_name() -> None:
    assert mentions("self.x == oldSelf.x", "oldSelf")
    assert not mentions("self.oldSelf == 'oldSelf'", "oldSelf")
