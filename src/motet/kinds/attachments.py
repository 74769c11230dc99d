"""Which Networks a pod is on: one annotation, on pods and on the Services that name them.

    motet.dev/networks: front  back=db,database  shop/public

Networks are separated by blanks; `NAMESPACE/NAME` is one of another namespace, if that lets this one in. Behind `=` stand further
names that the pod, or the Service, is known by on that network alone (Swarm's and Compose's aliases).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from motet.base import names

ANNOTATION = "motet.dev/networks"
# Enough for any application, and few enough to look at on every change.
MOST = 32
MOST_ALIASES = 32

# Programs look for names with underscores, too, which no object may have.
_ALIAS = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_LONGEST_ALIAS = 190


class NetworkKey(NamedTuple):
    """A Network by the two names it has."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


# The networks somebody is on, and the aliases there.
Attachments = Mapping[NetworkKey, tuple[str, ...]]

NOWHERE: Attachments = {}
# What an annotation that cannot be read stands for: a network that nobody else is on.
_UNREADABLE: Attachments = {NetworkKey("", ""): ()}


def of(annotations: Mapping[str, str] | None, namespace: str) -> Attachments:
    """The networks of an object of `namespace`, by its annotations. Never raises: what cannot be read is alone."""
    text = (annotations or {}).get(ANNOTATION)
    if text is None:
        return NOWHERE
    try:
        return parse(text, namespace)
    except ValueError:
        return _UNREADABLE


@lru_cache(maxsize=4096)
def parse(text: str, namespace: str) -> Attachments:
    """Raises ValueError with words for whoever wrote it."""
    found: dict[NetworkKey, tuple[str, ...]] = {}
    for entry in text.split():
        where, equals, listed = entry.partition("=")
        within, slash, name = where.rpartition("/")
        for part in (within, name) if slash else (name,):
            if problem := names.label_error(part):
                raise ValueError(f"{where!r} is no network: {problem}")
        key = NetworkKey(within or namespace, name)
        if key in found:
            raise ValueError(f"{where!r} is named twice")
        aliases = tuple(dict.fromkeys(listed.split(","))) if equals else ()
        if len(aliases) > MOST_ALIASES:
            raise ValueError(f"{where!r} has {len(aliases)} aliases; at most {MOST_ALIASES} are possible")
        for alias in aliases:
            if len(alias) > _LONGEST_ALIAS or not _ALIAS.fullmatch(alias):
                raise ValueError(
                    f"{alias!r} is no alias: lower case letters, digits, '-' and '_', in parts of at most 63 "
                    "characters between dots"
                )
        found[key] = aliases
    if not found:
        raise ValueError("expected networks separated by blanks, for instance: front back=db,database")
    if len(found) > MOST:
        raise ValueError(f"{len(found)} networks; at most {MOST} are possible")
    return found


def text(attachments: Attachments, namespace: str) -> str:
    """The annotation's value for an object of `namespace`; what `parse` reads back."""
    return " ".join(
        (key.name if key.namespace == namespace else str(key)) + (f"={','.join(aliases)}" if aliases else "")
        for key, aliases in attachments.items()
    )
