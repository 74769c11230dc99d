"""The filters of lists."""

import pytest

from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.filters import Filters


def parse(text: str) -> Filters:
    return Filters.parse(text, ("name", "label", "dangling"))


@pytest.mark.parametrize("text", ['{"name":{"web":true,"db":false}}', '{"name":["web"]}'])
def test_both_forms_are_read(text: str) -> None:
    assert parse(text).values("name") == ("web",)


def test_a_filter_that_is_none_is_refused() -> None:
    with pytest.raises(DockerError, match="invalid filter 'colour'"):
        parse('{"colour":["red"]}')


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(DockerError, match="invalid filter"):
        parse("name=web")


def test_all_labels_must_hold() -> None:
    filters = parse('{"label":["a=1","b"]}')
    assert filters.labels({"a": "1", "b": ""})
    assert not filters.labels({"a": "1"})
    assert not filters.labels({"a": "2", "b": ""})


def test_values_of_one_key_are_alternatives() -> None:
    filters = parse('{"name":["web","db"]}')
    assert filters.matches("name", "db")
    assert filters.begins("name", "webshop")
    assert filters.contains("name", "my_db")
    assert not filters.matches("name", "webshop")


def test_a_truth_may_be_asked_for() -> None:
    assert parse('{"dangling":["true"]}').truth("dangling") is True
    assert parse("").truth("dangling") is None
