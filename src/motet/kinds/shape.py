"""Reading and filling documents that may not have their shape yet.

Defaults are filled in before the schema has been checked, so that what the schema sees is complete. Whatever is not of the
expected type is therefore passed over here and complained about there. A null counts as absent, as it does upstream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motet.kinds.kind import Json


def mapping(parent: Json, *path: str) -> Json:
    """The object at `path`, or an empty one that is not part of the document."""
    found: Any = parent
    for key in path:
        found = found.get(key)
        if not isinstance(found, dict):
            return {}
    return found  # type: ignore[no-any-return]


def made(parent: Json, *path: str) -> Json:
    """The object at `path`, made where it is missing. Where something else stands: one that is not part of the document."""
    found = parent
    for key in path:
        inner = found.get(key)
        if inner is None:
            inner = found[key] = {}
        if not isinstance(inner, dict):
            return {}
        found = inner
    return found


def objects(parent: Json, *path: str) -> list[Json]:
    """The objects in the list at `path`; none when it is missing."""
    *outer, last = path
    found = mapping(parent, *outer).get(last)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings(parent: Json, *path: str) -> list[str]:
    """The strings in the list at `path`; none when it is missing."""
    *outer, last = path
    found = mapping(parent, *outer).get(last)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def text(parent: Json, *path: str) -> str:
    """The string at `path`, or an empty one."""
    *outer, last = path
    found = mapping(parent, *outer).get(last)
    return found if isinstance(found, str) else ""


def number(parent: Json, *path: str) -> int:
    """The whole number at `path`, or 0."""
    *outer, last = path
    found = mapping(parent, *outer).get(last)
    return found if isinstance(found, int) else 0


def fill_absent(parent: Json, key: str, value: Any) -> None:
    """Set what is missing; an explicit 0 or empty string stays (fields that are pointers upstream)."""
    if parent.get(key) is None:
        parent[key] = value


def fill_empty(parent: Json, key: str, value: Any) -> None:
    """Set what is missing, 0 or an empty string (fields that are plain values upstream)."""
    found = parent.get(key)
    if found is None or found == "" or (found == 0 and not isinstance(found, bool)):
        parent[key] = value


def each(parent: Json, key: str, apply: Callable[[Json], None]) -> None:
    """Call `apply` with every object in a list."""
    for item in objects(parent, key):
        apply(item)
