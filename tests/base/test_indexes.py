from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.base import indexes


@pytest.mark.parametrize(
    ("text", "found"),
    [("", []), ("3", [3]), ("0,2", [0, 2]), ("1-3", [1, 2, 3]), ("0,3-5,7", [0, 3, 4, 5, 7])],
)
def test_numbers_and_ranges_are_read(text: str, found: list[int]) -> None:
    assert sorted(indexes.parse(text)) == found


def test_what_is_too_large_is_left_out() -> None:
    assert indexes.parse("1,3-9", 5) == {1, 3, 4}


def test_two_in_a_row_are_named_and_more_are_a_range() -> None:
    assert indexes.show([7, 0, 1, 3, 4, 5]) == "0,1,3-5,7"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", 'cannot convert string to integer for index: "x"'),
        ("3,1", "non-increasing order, previous: 3, current: 1"),
        ("3-3", "non-increasing order, previous: 3, current: 3"),
        ("1-2-3", 'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts'),
    ],
)
def test_nonsense_is_explained(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        indexes.parse(text)


@given(st.frozensets(st.integers(0, 60)))
def test_law_what_is_shown_is_read_again(found: frozenset[int]) -> None:
    assert indexes.parse(indexes.show(found)) == found
