"""Merge an applied configuration into a live document, and take places out of one. Both copy what they change."""

from __future__ import annotations

from typing import Any

from motet.api.apply.fields import Fields, Json, Place, below, is_atomic, step_of
from motet.kinds.schema.model import Schema


def merge(schema: Schema | None, live: Any, applied: Any) -> Any:
    """`live` with everything `applied` says. Lists that are maps or sets merge by item and keep the live order first."""
    if isinstance(live, dict) and isinstance(applied, dict) and not is_atomic(schema, applied):
        result = dict(live)
        for name, value in applied.items():
            result[name] = merge(below(schema, name), live[name], value) if name in live else value
        return result
    if isinstance(live, list) and isinstance(applied, list) and schema is not None and not is_atomic(schema, applied):
        return _merge_list(schema, live, applied)
    return applied


def _merge_list(schema: Schema, live: list[Any], applied: list[Any]) -> list[Any]:
    """Applied items keep the order they were applied in; items only the live list has stay where they were among them."""
    wanted = {step_of(schema, item): item for item in applied}
    there = {step_of(schema, item): item for item in live}
    merged = {step: merge(schema.items, there[step], item) if step in there else item for step, item in wanted.items()}
    result: list[Any] = []
    queue = list(merged)
    for step, item in there.items():
        if step not in merged:
            result.append(item)
            continue
        while queue and step in queue:
            result.append(merged[queue.pop(0)])
    return result + [merged[step] for step in queue]


def remove(schema: Schema, document: Json, place: Place, kept: Fields = frozenset()) -> Json:
    """The document without the value at a place. Containers that this empties go with it, unless they are `kept`."""
    changed = _remove(schema, document, (), place, kept)
    return changed if isinstance(changed, dict) else {}


def _remove(schema: Schema | None, value: Any, here: Place, rest: Place, kept: Fields) -> Any:
    """The value at `here` without what is at `rest` below it; None when nothing of it is left."""
    if not rest:
        return None
    step, below_it = (*here, rest[0]), rest[1:]
    if isinstance(value, dict) and rest[0].startswith("f:"):
        name = rest[0][2:]
        if name not in value:
            return value
        inner = _remove(below(schema, name), value[name], step, below_it, kept)
        left: Any = {key: inner if key == name else part for key, part in value.items()}
        if inner is None:
            del left[name]
    elif isinstance(value, list) and schema is not None:
        changed = [
            _remove(schema.items, item, step, below_it, kept) if step_of(schema, item) == rest[0] else item
            for item in value
        ]
        left = [item for item in changed if item is not None]
    else:
        return value
    return left if left or here in kept else None
