"""Placeholders of Swarm's kind: `{{.Service.Name}}` and its like in the text of a task.

They are read, not executed: the handful of fields that Swarm documents, and `index` for labels. What a pod's future node alone
can tell (`.Node.*`) is marked as such, since a pod is made before its node is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_ANY = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_INDEX = re.compile(r'index\s+\.Service\.Labels\s+"([^"]*)"')
_LABEL = re.compile(r"\.Service\.Labels\.([A-Za-z0-9_]+)")
_PLAIN = (
    ".Service.ID",
    ".Service.Name",
    ".Task.ID",
    ".Task.Name",
    ".Task.Slot",
    ".Node.ID",
    ".Node.Hostname",
    ".Node.Platform.OS",
    ".Node.Platform.Architecture",
)
NODE = ".Node."


@dataclass(frozen=True, slots=True)
class Values:
    """What the placeholders stand for: `plain` by their names, such as `.Task.Slot`, and the labels of the service."""

    plain: Mapping[str, str]
    labels: Mapping[str, str]


def problem(text: str) -> str:
    """What is wrong with the placeholders of a text; empty when nothing is."""
    for found in _ANY.finditer(text):
        inner = found[1].strip()
        if inner not in _PLAIN and not _INDEX.fullmatch(inner) and not _LABEL.fullmatch(inner):
            return f"{found[0]} is not known; there are: {', '.join(_PLAIN)}, .Service.Labels.NAME"
    if "{{" in _ANY.sub("", text):
        return "a {{ is not closed"
    return ""


def about_node(text: str) -> bool:
    """Whether some placeholder can only be filled in where the pod's node is known."""
    return any(found[1].strip().startswith(NODE) for found in _ANY.finditer(text))


def expand(text: str, values: Values, other: Callable[[str], str] = lambda whole: whole) -> str:
    """The text with what is known filled in. `other` says what stands for a placeholder that has no value yet."""

    def fill(found: re.Match[str]) -> str:
        inner = found[1].strip()
        if label := _INDEX.fullmatch(inner) or _LABEL.fullmatch(inner):
            return values.labels.get(label[1], "")
        return values.plain[inner] if inner in values.plain else other(found[0])

    return _ANY.sub(fill, text)
