"""What fields are for, in words, for `kubectl explain`.

Upstream's words are large, so they are not shipped: they are read from the `kubernetes-validate` package when the
optional extra `explain` brought it along, and are simply absent when not. The words about Motet's own kinds are short and
always there; the module of the kind registers them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import NamedTuple

import msgspec

_PACKAGE = "kubernetes_validate"


class Prose(NamedTuple):
    """The description of a definition, and of its members by name."""

    text: str = ""
    fields: Mapping[str, str] = {}


class _Property(msgspec.Struct):
    description: str = ""


class _Definition(msgspec.Struct):
    description: str = ""
    properties: dict[str, _Property] = {}


class _File(msgspec.Struct):
    definitions: dict[str, _Definition] = msgspec.field(name="$defs", default_factory=dict)


_own: dict[str, Prose] = {}


def register(words: Mapping[str, Prose]) -> None:
    """Add what a kind of Motet's own says about itself, by definition name."""
    _own.update(words)


def load() -> Mapping[str, Prose]:
    """Descriptions by definition name: Motet's own, and upstream's when they are there."""
    return {**_upstream(), **_own}


@cache
def _upstream() -> Mapping[str, Prose]:
    """Those of the newest release the package knows; empty without the package."""
    if find_spec(_PACKAGE) is None:
        return {}
    folder = resources.files(_PACKAGE) / "kubernetes-json-schema"
    releases = [entry.name for entry in folder.iterdir() if entry.name.endswith("-local")]
    if not releases:
        return {}
    newest = max(releases, key=lambda name: [int(part) for part in name[1:].removesuffix("-local").split(".")])
    content = (folder / newest / "_definitions.json").read_bytes()
    return {
        name: Prose(found.description, {member: field.description for member, field in found.properties.items()})
        for name, found in msgspec.json.decode(content, type=_File).definitions.items()
    }
