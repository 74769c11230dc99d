"""Strategic merge patch: a merge patch in which lists merge by key, as the schema of the kind says.

Follows Kubernetes' "Update API Objects in Place Using kubectl patch" and the notes on its directives: `$patch`
(replace, delete, merge), `$retainKeys`, `$deleteFromPrimitiveList/FIELD` and `$setElementOrder/FIELD`.
Where the schema knows nothing about a field, objects merge and lists are replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motet.base.errors import BadRequest
from motet.kinds.schema.model import Schema

Json = dict[str, Any]

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def merge(schema: Schema | None, current: Json, patch: Json) -> Json:
    """`current` with the patch merged in; neither is changed. Raises BadRequest for a malformed patch."""
    directive = patch.get(_PATCH)
    if directive == "replace":
        replacement: Json = _clean(patch)
        return replacement
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise BadRequest(f"unknown value {directive!r} for $patch: expected replace, delete or merge")
    result = _retain(current, patch)
    for name, value in patch.items():
        if name.startswith(_DELETE_FROM):
            field = name.removeprefix(_DELETE_FROM)
            gone = _list_of(value, name)
            if isinstance(result.get(field), list):
                result[field] = [item for item in result[field] if item not in gone]
    orders = {name.removeprefix(_ORDER): value for name, value in patch.items() if name.startswith(_ORDER)}
    for name, value in patch.items():
        if _directive(name):
            continue
        if value is None:
            result.pop(name, None)
        elif name not in result:
            result[name] = _fresh(_child(schema, name), value)
        else:
            result[name] = _merge_value(_child(schema, name), result[name], value)
    for name, order in orders.items():
        if isinstance(result.get(name), list):
            before = current.get(name)
            result[name] = _in_order(
                _child(schema, name), result[name], _list_of(order, _ORDER + name), before, patch.get(name)
            )
    return result


def _retain(current: Json, patch: Json) -> Json:
    """A copy of the current members, only those `$retainKeys` lists when it is there."""
    if _RETAIN not in patch:
        return dict(current)
    keep = _list_of(patch[_RETAIN], _RETAIN)
    extra = [name for name, value in patch.items() if value is not None and name not in keep and name[:1] != "$"]
    if extra:
        raise BadRequest(f"$retainKeys has to list every field the patch sets; missing: {', '.join(extra)}")
    return {name: value for name, value in current.items() if name in keep}


def _child(schema: Schema | None, name: str) -> Schema | None:
    if schema is None:
        return None
    if schema.values is not None:
        return schema.values
    field = schema.fields.get(name)
    return field.schema if field is not None else None


def _merge_value(schema: Schema | None, current: Any, value: Any) -> Any:
    replaces = schema is not None and "replace" in schema.strategies
    if isinstance(value, dict) and isinstance(current, dict) and not replaces:
        return merge(schema, current, value)
    if isinstance(value, list) and isinstance(current, list) and schema is not None and "merge" in schema.strategies:
        return _merge_list(schema, current, value)
    return _clean(value)


def _fresh(schema: Schema | None, value: Any) -> Any:
    """What the patch sets where there was nothing: its own value, with directives and nulls carried out."""
    if isinstance(value, dict):
        return merge(schema, {}, value)
    if isinstance(value, list) and schema is not None and "merge" in schema.strategies:
        return _merge_list(schema, [], value)
    return _clean(value)


def _merge_list(schema: Schema, current: list[Any], patch: list[Any]) -> list[Any]:
    if not schema.merge_key:
        return [*current, *_unseen(current, patch)]
    key = schema.merge_key
    for item in patch:
        if not isinstance(item, dict):
            raise BadRequest(f"items of a list merged by {key!r} have to be objects")
    if any(item.get(_PATCH) == "replace" for item in patch):
        return [_clean(item) for item in patch if _PATCH not in item]
    result = list(current)
    for item in patch:
        if key not in item:
            raise BadRequest(f"an item of the patch does not contain declared merge key: {key}")
        found = next((i for i, known in enumerate(result) if _key_of(known, key) == item[key]), None)
        if item.get(_PATCH) == "delete":
            result = [known for known in result if _key_of(known, key) != item[key]]
        elif found is None:
            result.append(merge(schema.items, {}, item))
        else:
            result[found] = merge(schema.items, result[found], item)
    return result


def _unseen(current: list[Any], patch: list[Any]) -> list[Any]:
    new: list[Any] = []
    for item in patch:
        if item not in current and item not in new:
            new.append(item)
    return new


def _key_of(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, dict) else None


def _in_order(schema: Schema | None, merged: list[Any], order: list[Any], before: Any, patched: Any) -> list[Any]:
    """The merged list as `$setElementOrder` wants it.

    Items it names come in its order. Items only the server has keep their place relative to the named ones around
    them, as far as both were there before.
    """
    key = schema.merge_key if schema is not None else ""
    identity: Callable[[Any], Any] = (lambda item: _key_of(item, key)) if key else (lambda item: item)
    wanted = [identity(item) for item in order]
    if isinstance(patched, list):
        unlisted = [item for item in patched if not _is_directive(item) and identity(item) not in wanted]
        if unlisted:
            raise BadRequest("$setElementOrder has to name every item the patch has")
    was = [identity(item) for item in before] if isinstance(before, list) else []
    named = sorted((item for item in merged if identity(item) in wanted), key=lambda item: wanted.index(identity(item)))
    others = [item for item in merged if identity(item) not in wanted]
    result: list[Any] = []
    for item in named:
        mark = identity(item)
        place = was.index(mark) if mark in was else None
        # A new item has no place among the server's own: those go before it.
        while others and (place is None or identity(others[0]) not in was or was.index(identity(others[0])) < place):
            result.append(others.pop(0))
        result.append(item)
    return result + others


def _is_directive(item: Any) -> bool:
    return isinstance(item, dict) and _PATCH in item


def _list_of(value: Any, directive: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{directive} has to be a list")
    return value


def _clean(value: Any) -> Any:
    """A value from a patch without the directives in it and without the nulls of its objects."""
    if isinstance(value, dict):
        return {name: _clean(member) for name, member in value.items() if member is not None and not _directive(name)}
    if isinstance(value, list):
        return [_clean(item) for item in value if not (isinstance(item, dict) and item.get(_PATCH) == "delete")]
    return value


def _directive(name: str) -> bool:
    return name in (_PATCH, _RETAIN) or name.startswith((_DELETE_FROM, _ORDER))
