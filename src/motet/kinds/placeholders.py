"""Placeholders of Swarm's kind: `{{.Service.Name}}` and its like in the text of a task.

They are read, not executed: the handful of fields that Swarm documents, `index` for labels, and in files `env`, `secret` and
`config` with a name. What a pod's future node alone
can tell (`.Node.*`) is marked as such, since a pod is made before its node is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

# Up to the next opening at most: a text of nothing but openings is not read to its end from each of them.
_ANY = re.compile(r"\{\{((?:(?!\{\{).)*?)\}\}", re.DOTALL)
_INDEX = re.compile(r'index\s+\.Service\.Labels\s+"([^"]*)"')
_LABEL = re.compile(r"\.Service\.Labels\.([A-Za-z0-9_]+)")
_CALL = re.compile(r'(env|secret|config)\s+"([^"]*)"')
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
# On an App: what is meant by labels of its service, as a map in JSON; they have no form, unlike those of the kernel's.
LABELS = "docker.motet.dev/labels"


@dataclass(frozen=True, slots=True)
class Values:
    """What the placeholders stand for: `plain` by their names, such as `.Task.Slot`, and the labels of the service."""

    plain: Mapping[str, str]
    labels: Mapping[str, str]


def labels_of(annotations: Mapping[str, str] | None) -> dict[str, str]:
    """What `labels_text` has written; nothing where somebody else has written something else."""
    try:
        return msgspec.json.decode((annotations or {}).get(LABELS) or "{}", type=dict[str, str])
    except msgspec.MsgspecError:
        return {}


def labels_text(labels: Mapping[str, str]) -> str:
    return msgspec.json.encode(dict(labels)).decode()


def problem(text: str, *, of_file: bool = False) -> str:
    """What is wrong with the placeholders of a text; empty when nothing is."""
    for found in _ANY.finditer(text):
        inner = found[1].strip()
        if of_file and _CALL.fullmatch(inner):
            continue
        if inner not in _PLAIN and not _INDEX.fullmatch(inner) and not _LABEL.fullmatch(inner):
            calls = ', env "NAME", secret "NAME", config "NAME"' if of_file else ""
            return f"{found[0]} is not known; there are: {', '.join(_PLAIN)}, .Service.Labels.NAME{calls}"
    if "{{" in _ANY.sub("", text):
        return "a {{ is not closed"
    return ""


def calls(text: str) -> set[tuple[str, str]]:
    """What a file asks for by (`env`, `secret` or `config`, name)."""
    return {(call[1], call[2]) for found in _ANY.finditer(text) if (call := _CALL.fullmatch(found[1].strip()))}


def about_node(text: str) -> bool:
    """Whether some placeholder can only be filled in where the pod's node is known."""
    return any(found[1].strip().startswith(NODE) for found in _ANY.finditer(text))


class TooLong(ValueError):
    """What is filled in makes a text longer than it may become."""


def expand(
    text: str,
    values: Values,
    other: Callable[[str], str] = lambda whole: whole,
    answers: Mapping[tuple[str, str], str] = MappingProxyType({}),
    *,
    most: int | None = None,
) -> str:
    """The text with what is known filled in. `other` says what stands for a placeholder that has no value (yet).

    `answers` are to what `calls` gives. Raises TooLong as soon as there are more than `most` characters.
    """
    pieces: list[str] = []
    length = at = 0

    def add(piece: str) -> None:
        nonlocal length
        length += len(piece)
        if most is not None and length > most:
            raise TooLong(f"with its placeholders filled in it has more than {most} characters")
        pieces.append(piece)

    for found in _ANY.finditer(text):
        add(text[at : found.start()])
        add(_value(found, values, other, answers))
        at = found.end()
    add(text[at:])
    return "".join(pieces)


def _value(
    found: re.Match[str], values: Values, other: Callable[[str], str], answers: Mapping[tuple[str, str], str]
) -> str:
    inner = found[1].strip()
    if label := _INDEX.fullmatch(inner) or _LABEL.fullmatch(inner):
        return values.labels.get(label[1], "")
    if (call := _CALL.fullmatch(inner)) and (call[1], call[2]) in answers:
        return answers[call[1], call[2]]
    return values.plain[inner] if inner in values.plain else other(found[0])
