"""Placement in Swarm's words: what the constraints and preferences of an App mean in those of a pod.

A constraint is `SUBJECT == VALUE` or `SUBJECT != VALUE`; blanks do not matter. A node that lacks a label fulfils every `!=`
about it, in Swarm as in Kubernetes. Values are compared exactly (Swarm folds upper and lower case).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from motet.base import names

Json = dict[str, Any]

_NODE_LABELS = "node.labels."
_SUBJECTS = {
    "node.hostname": "kubernetes.io/hostname",
    "node.platform.os": "kubernetes.io/os",
    "node.platform.arch": "kubernetes.io/arch",
}
# How others call the architectures of kubernetes.io/arch (Go's names).
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i386": "386", "i686": "386"}
MANAGER_LABEL = "node-role.kubernetes.io/control-plane"
_ROLES = ("manager", "worker")
_SHAPE = re.compile(r"\s*([^\s=!]+)\s*(==|!=)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Constraint:
    """`expression` is a node selector requirement, about the node's name when `field` holds, else about a label."""

    expression: Json
    field: bool = False


def parse(text: str) -> Constraint:
    """Raises ValueError saying what is wrong."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise ValueError("must be written as SUBJECT == VALUE or SUBJECT != VALUE")
    subject, operator, value = found.groups()
    equal = operator == "=="
    if not value:
        raise ValueError("needs a value")
    if subject == "node.role":
        if value not in _ROLES:
            raise ValueError("node.role is manager or worker")
        return Constraint(
            {"key": MANAGER_LABEL, "operator": "Exists" if equal == (value == "manager") else "DoesNotExist"}
        )
    if subject == "node.name":
        return Constraint(_requirement("metadata.name", equal, value), field=True)
    if subject == "node.platform.arch":
        value = _ARCHITECTURES.get(value, value)
    key = _SUBJECTS.get(subject) or _label(subject)
    if problem := names.label_value_error(value):
        raise ValueError(problem)
    return Constraint(_requirement(key, equal, value))


def spread_label(text: str) -> str:
    """The label that `node.labels.KEY` is about. Raises ValueError saying what is wrong."""
    return _SUBJECTS.get(text) or _label(text)


def _label(subject: str) -> str:
    key = subject.removeprefix(_NODE_LABELS)
    if key == subject:
        known = ", ".join(sorted((*_SUBJECTS, "node.name", "node.role", f"{_NODE_LABELS}KEY")))
        raise ValueError(f"{subject} is not something that is known of nodes; there are: {known}")
    if problem := names.qualified_name_error(key):
        raise ValueError(problem)
    return key


def _requirement(key: str, equal: bool, value: str) -> Json:
    return {"key": key, "operator": "In" if equal else "NotIn", "values": [value]}
