from __future__ import annotations

import pytest

from motet.kinds import placeholders
from motet.kinds.placeholders import Values

KNOWN = Values({".Service.Name": "web", ".Task.Slot": "3"}, {"tier": "front", "a.b/c": "d"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", "plain"),
        ("{{.Service.Name}}-{{ .Task.Slot }}", "web-3"),
        ("{{.Service.Labels.tier}}", "front"),
        ('{{index .Service.Labels "a.b/c"}}', "d"),
        ('{{index .Service.Labels "none"}}', ""),
        ("{{.Node.Hostname}}", "{{.Node.Hostname}}"),
    ],
)
def test_what_is_known_is_filled_in(text: str, found: str) -> None:
    assert placeholders.problem(text) == ""
    assert placeholders.expand(text, KNOWN) == found


@pytest.mark.parametrize("text", ["{{.Service}}", "{{env}}", "{{.Task.Slot", '{{index .Node.Labels "a"}}'])
def test_what_is_not_known_is_named(text: str) -> None:
    assert placeholders.problem(text)


def test_it_says_whether_the_node_matters() -> None:
    assert placeholders.about_node("a-{{.Node.Platform.OS}}")
    assert not placeholders.about_node("{{.Service.Name}}")


def test_a_text_grows_only_so_far() -> None:
    ask = '{{config "a"}}'
    answers = {("config", "a"): "x" * 1000}
    assert len(placeholders.expand(ask * 10, KNOWN, answers=answers, most=10_000)) == 10_000
    for text in (ask * 10 + "!", ask * 1_000_000):
        with pytest.raises(placeholders.TooLong, match="more than 10000 characters"):
            placeholders.expand(text, KNOWN, answers=answers, most=10_000)
    assert placeholders.expand('{{config "b"}}' * 100, KNOWN, lambda whole: "", most=0) == ""


def test_openings_without_end_are_no_placeholders() -> None:
    text = "{{" * 500_000
    assert placeholders.expand(text, KNOWN) == text
    assert "not closed" in placeholders.problem(text)
    assert placeholders.expand("{{ {{.Task.Slot}} }}", KNOWN) == "{{ 3 }}"
