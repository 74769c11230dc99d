"""Nothing in a request is passed over."""

import pytest

from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.fields import Fields, is_zero


def test_what_nobody_took_is_refused_by_its_path() -> None:
    inner = Fields({"Outer": {"Known": 1, "Other": [1]}}).fields("Outer")
    inner.number("Known")
    with pytest.raises(DockerError, match=r"Outer\.Other is not supported by Motet"):
        inner.finish()


def test_zero_values_count_as_not_given() -> None:
    Fields({"A": None, "B": "", "C": 0, "D": [], "E": {"F": False, "G": {}}}).finish()


@pytest.mark.parametrize("value", ["x", 1, True, [0], {"A": "x"}])
def test_anything_else_says_something(value: object) -> None:
    assert not is_zero(value)


@pytest.mark.parametrize(
    ("value", "read"), [(1, "text"), ("1", "number"), (True, "number"), (1, "truth"), ("a", "texts"), ([1], "texts"), ([], "map")]
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused(value: object, read: str) -> None:
    if value == []:
        value = [1]
    with pytest.raises(DockerError, match="A: expected"):
        getattr(Fields({"A": value}), read)("A")


def test_a_map_of_empty_values_is_a_map() -> None:
    assert Fields({"Labels": {"a": ""}}).map("Labels") == {"a": ""}


def test_javascript_has_floats_only() -> None:
    assert Fields({"A": 3.0}).number("A") == 3


def test_names_are_taken_in_any_case_as_dockers_decoder_takes_them() -> None:
    body = {"mode": {"replicated": {"Replicas": 2}}, "Name": "exact", "name": "other"}
    fields = Fields(body)
    assert fields.text("Name") == "exact"
    assert fields.fields("Mode").fields("Replicated").number("Replicas") == 2
    assert body["Mode"] == {"Replicated": {"Replicas": 2}}
    with pytest.raises(DockerError, match="name is not supported"):
        fields.finish()
