"""Validation ratcheting (KEP-4008): on an update, what has not changed is not complained about anew.

The old value of a place is found by following the path: members by name, items of lists that are maps by their keys. An
item of any other list has no old value of its own; such a list is unchanged as a whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from motet.base.errors import FieldError
from motet.kinds.schema import rules
from motet.kinds.schema.model import Schema

Json = dict[str, Any]

_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")
_MISSING: Any = object()


def changed(schema: Schema, new: Json, old: Json, errors: Iterable[FieldError]) -> list[FieldError]:
    """Those of the errors that are about something this update changed."""
    return [error for error in errors if not _unchanged(schema, new, old, _place(error), error.type)]


def _place(error: FieldError) -> str:
    """Where an error is about; one about a combination says so in its text only."""
    if error.path != rules.NOWHERE:
        return error.path
    found = re.match(r'"([^"]*)" must ', error.detail)
    return found.group(1) if found else ""


def _unchanged(schema: Schema, new: Json, old: Json, path: str, type: str) -> bool:
    """Whether the value at a path, or anything that holds it, is as it was."""
    if not path:
        return False
    seen = list(_along(schema, new, old, path))
    if type == "FieldValueRequired":
        # What is missing was missing from its parent, which must be as it was.
        seen = seen[:-1] if seen and seen[-1][0] is _MISSING else seen
    return any(now == before and now is not _MISSING for now, before in seen)


def _along(schema: Schema | None, new: Any, old: Any, path: str) -> Iterator[tuple[Any, Any]]:
    """The new and the old value of every place on the way to a path."""
    for found in _STEP.finditer(path):
        name, key = found.groups()
        if name is None and isinstance(new, list):
            new, old = _item(schema, new, old, int(key)) if key.isdigit() else (_MISSING, _MISSING)
            schema = schema.items if schema is not None else None
        else:
            step = name if name is not None else key
            new, old = _member(new, step), _member(old, step)
            schema = schema.at(step) if schema is not None and schema.type != "list" else None
        yield new, old


def _member(value: Any, name: str) -> Any:
    return value.get(name, _MISSING) if isinstance(value, dict) else _MISSING


def _item(schema: Schema | None, new: list[Any], old: Any, index: int) -> tuple[Any, Any]:
    item = new[index] if index < len(new) else _MISSING
    if schema is None or schema.list_type != "map" or not isinstance(item, dict) or not isinstance(old, list):
        return item, _MISSING
    keys = {key: item.get(key) for key in schema.list_keys}
    same = (each for each in old if isinstance(each, dict) and {key: each.get(key) for key in keys} == keys)
    return item, next(same, _MISSING)
