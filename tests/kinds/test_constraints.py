from __future__ import annotations

from typing import Any

import pytest

from motet.kinds import constraints


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("node.hostname==n1", {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}),
        ("node.hostname != n1", {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n1"]}),
        ("node.labels.zone == a", {"key": "zone", "operator": "In", "values": ["a"]}),
        ("node.labels.example.com/x==1", {"key": "example.com/x", "operator": "In", "values": ["1"]}),
        ("node.platform.os==linux", {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}),
        ("node.platform.arch==x86_64", {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}),
        ("node.role==manager", {"key": constraints.MANAGER_LABEL, "operator": "Exists"}),
        ("node.role!=manager", {"key": constraints.MANAGER_LABEL, "operator": "DoesNotExist"}),
        ("node.role == worker", {"key": constraints.MANAGER_LABEL, "operator": "DoesNotExist"}),
    ],
)
def test_a_constraint_is_a_requirement_on_labels(text: str, expression: dict[str, Any]) -> None:
    assert constraints.parse(text) == constraints.Constraint(expression)


def test_a_nodes_name_is_a_field() -> None:
    expression = {"key": "metadata.name", "operator": "NotIn", "values": ["n.example.com"]}
    assert constraints.parse("node.name!=n.example.com") == constraints.Constraint(expression, field=True)


@pytest.mark.parametrize(
    "text", ["", "node.role", "node.role==boss", "node.ip==1.2.3.4", "node.labels.==a", "a==", "x>y"]
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        constraints.parse(text)
