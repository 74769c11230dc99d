"""The three patch languages: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386) and Kubernetes' strategic merge patch.

`apply_patch` never changes its input: it copies the path to what a patch touches and shares the rest. It only produces
the new document; defaults, validation and what a patch may not touch are the registry's business. Server-side apply
is not a patch of a document but a statement of ownership, and lives elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from motet.api import strategic
from motet.base.errors import BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType
from motet.kinds.schema import table
from motet.kinds.schema.model import Schema

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)

# Upstream's limit; a longer one is a mistake or an attack.
MAX_OPERATIONS = 10_000


def apply_patch(kind_schema: Schema | str, current: Json, patch: Any, patch_type: str) -> Json:
    """The document after the patch. `kind_schema` is the schema of the kind, or its name; `patch_type` a content type.

    Raises BadRequest for a patch that is not well-formed, Invalid (422) for one that does not fit this document (a
    failed `test`, a missing path) and UnsupportedMediaType for a type this kind does not take.
    """
    schema = table.get(kind_schema) if isinstance(kind_schema, str) else kind_schema
    if patch_type == JSON_PATCH:
        patched = json_patch(current, patch)
        if not isinstance(patched, dict):
            raise Invalid("the patch replaces the whole object by something that is not an object")
        return patched
    if patch_type in (MERGE_PATCH, STRATEGIC_PATCH):
        if not isinstance(patch, dict):
            raise BadRequest(f"a patch of type {patch_type} has to be a JSON object")
        if patch_type == MERGE_PATCH:
            merged: Json = merge_patch(current, patch)
            return merged
        if schema.typed:
            return strategic.merge(schema, current, patch)
    accepted = [JSON_PATCH, MERGE_PATCH, *([STRATEGIC_PATCH] if schema.typed else []), APPLY_PATCH]
    raise UnsupportedMediaType(
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    )


def merge_patch(current: Any, patch: Any) -> Any:
    """RFC 7386: objects merge, null deletes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902. All operations apply, or an error names the first that does not."""
    if not isinstance(operations, list):
        raise BadRequest("a JSON patch has to be a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    for operation in operations:
        document = _operate(document, operation)
    return document


def _operate(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or not isinstance(operation.get("op"), str):
        raise BadRequest('every operation of a JSON patch is an object with "op" and "path"')
    op, path = operation["op"], _pointer(operation, "path")
    match op:
        case "add":
            return _add(document, path, _value(operation))
        case "remove":
            return _remove(document, path, op)
        case "replace":
            _read(document, path, op)
            return _replace(document, path, _value(operation))
        case "copy":
            return _add(document, path, _read(document, _pointer(operation, "from"), op))
        case "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and path != source:
                raise Invalid(f"move operation does not apply: {_show(source)} cannot move into itself")
            moved = _read(document, source, op)
            return _add(_remove(document, source, op), path, moved)
        case "test":
            if not same(_read(document, path, op), _value(operation)):
                raise Invalid(f"testing value {_show(path)} failed: test failed")
            return document
    raise BadRequest(f"unexpected kind of JSON patch operation: {op!r}")


def _value(operation: Json) -> Any:
    if "value" not in operation:
        raise BadRequest(f'operation "{operation["op"]}" of the JSON patch needs a "value"')
    return operation["value"]


def _pointer(operation: Json, member: str) -> tuple[str, ...]:
    """A JSON pointer (RFC 6901) as its unescaped steps."""
    text = operation.get(member)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise BadRequest(
            f'operation "{operation["op"]}" of the JSON patch needs "{member}", a JSON pointer such as /a/b'
        )
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:])


def _show(path: Sequence[str]) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def _missing(op: str, path: Sequence[str]) -> Invalid:
    return Invalid(f'{op} operation does not apply: doc is missing path: "{_show(path)}": missing value')


def _index(items: list[Any], step: str, *, end: bool) -> int | None:
    """The position a step means in a list; with `end`, one past the last item is allowed (`-` or its number)."""
    if step == "-":
        return len(items) if end else None
    if not step.isascii() or not step.isdigit() or (len(step) > 1 and step.startswith("0")):
        return None
    position = int(step)
    return position if position < len(items) + end else None


def _read(document: Any, path: tuple[str, ...], op: str) -> Any:
    value = document
    for step in path:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and (position := _index(value, step, end=False)) is not None:
            value = value[position]
        else:
            raise _missing(op, path)
    return value


def _add(document: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    parent = _read(document, path[:-1], "add")
    if isinstance(parent, dict):
        changed: Any = {**parent, path[-1]: value}
    elif isinstance(parent, list) and (position := _index(parent, path[-1], end=True)) is not None:
        changed = [*parent[:position], value, *parent[position:]]
    else:
        raise _missing("add", path)
    return _replace(document, path[:-1], changed)


def _remove(document: Any, path: tuple[str, ...], op: str) -> Any:
    if not path:
        raise Invalid(f"{op} operation does not apply: the whole document cannot be removed")
    _read(document, path, op)
    parent = _read(document, path[:-1], op)
    if isinstance(parent, dict):
        changed: Any = {name: member for name, member in parent.items() if name != path[-1]}
    else:
        position = int(path[-1])
        changed = [*parent[:position], *parent[position + 1 :]]
    return _replace(document, path[:-1], changed)


def _replace(document: Any, path: tuple[str, ...], value: Any) -> Any:
    """The document with the value at an existing path, or of a known parent, replaced."""
    if not path:
        return value
    if isinstance(document, dict):
        return {**document, path[0]: _replace(document[path[0]], path[1:], value)}
    position = int(path[0])
    return [*document[:position], _replace(document[position], path[1:], value), *document[position + 1 :]]


def same(one: Any, other: Any) -> bool:
    """Equality as JSON means it: 1 is 1.0 but not true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(member, other[name]) for name, member in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)
