"""Identifiers, and what is meant by a part of one."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.dialects.docker import ids
from motet.dialects.docker.errors import DockerError


@given(st.uuids(), st.uuids())
def test_different_objects_have_different_identifiers_of_swarms_form(one: uuid.UUID, other: uuid.UUID) -> None:
    first, second = ids.of(str(one)), ids.of(str(other))
    assert len(first) == 25
    assert first.isalnum()
    assert first == first.lower()
    assert (first == second) is (one == other)


KNOWN = [("abc", "web", 1), ("abd", "ab", 2), ("xyz", "abc", 3)]


@pytest.mark.parametrize(("asked", "found"), [("abc", 1), ("web", 1), ("ab", 2), ("x", 3)])
def test_whole_identifiers_go_before_names_and_names_before_beginnings(asked: str, found: int) -> None:
    assert ids.pick("service", asked, KNOWN) == found


def test_several_beginnings_are_ambiguous() -> None:
    with pytest.raises(DockerError, match="ambiguous"):
        ids.pick("service", "a", KNOWN)


def test_none_is_not_found() -> None:
    with pytest.raises(DockerError, match="service nobody not found") as caught:
        ids.pick("service", "nobody", KNOWN)
    assert caught.value.code == 404
