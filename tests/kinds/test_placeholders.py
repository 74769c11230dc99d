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
