"""Simple JSON paths."""

from __future__ import annotations

from typing import Any

import pytest

from motet.kinds.custom import jsonpath

DOCUMENT = {
    "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
    "spec": {"replicas": 3, "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}], "on": True, "ratio": 2.0},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.replicas", [3]),
        (".spec.missing.deeper", []),
        (r".metadata.labels.app\.kubernetes\.io/name", ["web"]),
        (".metadata.labels['app.kubernetes.io/name']", ["web"]),
        (".spec.ports[0].name", ["a"]),
        (".spec.ports[-1].name", ["b"]),
        (".spec.ports[7].name", []),
        (".spec.ports[*].port", [1, 2]),
        (".spec.ports[0:1].port", [1]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        ("." + 'status.conditions[?(@.type == "None")].status', []),
        (".spec.ports[?(@.port>1)].name", ["b"]),
        (".spec.ports[?(@.name)].port", [1, 2]),
    ],
)
def test_finds_what_is_there(path: str, found: list[Any]) -> None:
    assert jsonpath.find(path, DOCUMENT) == found


@pytest.mark.parametrize("path", ["spec", ".spec..x", ".spec[", ".a[?(@.b ~ 1)]", ".a[?(@.b==x)]"])
def test_refuses_what_it_cannot_read(path: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        jsonpath.parse(path)


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (True, "true"), (3, "3"), (2.0, "2"), ({"a": [1]}, '{"a":[1]}'), (None, "<nil>")]
)
def test_values_are_shown_as_kubectl_expects(value: Any, text: str) -> None:
    assert jsonpath.shown(value) == text
