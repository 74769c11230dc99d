"""Whether a schema is structural: types outside, only restrictions inside `allOf`, `anyOf`, `oneOf` and `not`.

Follows upstream's ValidateStructural, messages included: the invariants of every node, and completeness (whatever is restricted
inside a combination is also specified outside).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds.schema import patterns

Json = Mapping[str, Any]
Level = Literal["root", "item", "field"]

_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_EMPTY_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
# What a node inside a combination must leave to the node outside.
_OUTSIDE_ONLY = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}


def problems(node: Json, path: str) -> list[FieldError]:
    """Why the schema at `path`, the root of a resource's, is not structural; empty when it is."""
    found = [*_invariants(node, path, "root"), *_completeness(node, path)]
    return sorted(found, key=FieldError.message)


def _invariants(node: Json, path: str, level: Level) -> Iterator[FieldError]:
    items, values = node.get("items"), node.get("additionalProperties")
    if node.get("type") == "array" and not isinstance(items, Mapping):
        yield required(f"{path}.items", "must be specified")
    if isinstance(items, Mapping):
        yield from _invariants(items, f"{path}.items", "item")
    for name, child in (node.get("properties") or {}).items():
        yield from _invariants(child, f"{path}.properties[{name}]", "field")
    if values is not None and level == "root":
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(values, Mapping):
        yield from _invariants(values, f"{path}.additionalProperties", "field")
    yield from _extensions(node, path)
    yield from _restrictions(node, path, *_either_pattern(node))
    yield from _type(node, path, level)
    yield from _meta(node, path, level)


def _type(node: Json, path: str, level: Level) -> Iterator[FieldError]:
    kind, embedded = node.get("type"), node.get("x-kubernetes-embedded-resource")
    preserve = node.get("x-kubernetes-preserve-unknown-fields")
    if embedded and kind != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail)
    elif not kind and not node.get("x-kubernetes-int-or-string") and not preserve:
        yield required(f"{path}.type", _EMPTY_TYPE[level])
    if embedded and node.get("additionalProperties") is not None:
        detail = "must not be used if x-kubernetes-embedded-resource is set"
        yield forbidden(f"{path}.additionalProperties", detail)
    if embedded and not preserve and not node.get("properties"):
        detail = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        yield required(f"{path}.properties", detail)
    if level == "root" and kind and kind != "object":
        yield invalid(f"{path}.type", kind, "must be object at the root")


def _meta(node: Json, path: str, level: Level) -> Iterator[FieldError]:
    """What an object says of its own kind and metadata."""
    if level != "root" and not node.get("x-kubernetes-embedded-resource"):
        return
    members = node.get("properties") or {}
    for name, needed in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if name in members and members[name].get("type") != needed:
            at = f"{path}.properties[{name}].type"
            yield invalid(at, members[name].get("type", ""), f"must be {needed}")
    if level == "root" and "metadata" in members:
        inner = members["metadata"]
        rest = {key for key, value in inner.items() if key not in ("type", "default", "properties") and value}
        if rest or not set(inner.get("properties") or ()) <= {"name", "generateName"}:
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield forbidden(f"{path}.properties[metadata]", detail)


def _extensions(node: Json, path: str) -> Iterator[FieldError]:
    if not node.get("x-kubernetes-int-or-string"):
        return
    for name in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
        if node.get(name):
            yield invalid(f"{path}.{name}", True, "must be false if x-kubernetes-int-or-string is true")


def _either_pattern(node: Json) -> tuple[bool, bool]:
    """Whether types may stand in `anyOf`, or in the `anyOf` of the first of `allOf`: the two spellings of int-or-string."""
    all_of = node.get("allOf") or []
    return node.get("anyOf") == _INT_OR_STRING, bool(all_of) and all_of[0].get("anyOf") == _INT_OR_STRING


def _restrictions(node: Json, path: str, skip_any: bool, skip_first: bool) -> Iterator[FieldError]:
    if not skip_any:
        for index, child in enumerate(node.get("anyOf") or ()):
            yield from _inside(child, f"{path}.anyOf[{index}]")
    for index, child in enumerate(node.get("allOf") or ()):
        yield from _inside(child, f"{path}.allOf[{index}]", skip_any=skip_first and index == 0)
    for index, child in enumerate(node.get("oneOf") or ()):
        yield from _inside(child, f"{path}.oneOf[{index}]")
    if node.get("not") is not None:
        yield from _inside(node["not"], f"{path}.not")
    if (pattern := node.get("pattern")) and (problem := patterns.problem(pattern)):
        yield invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {problem}")


def _inside(node: Json, path: str, *, skip_any: bool = False) -> Iterator[FieldError]:
    yield from _restrictions(node, path, skip_any, False)
    if isinstance(node.get("items"), Mapping):
        yield from _inside(node["items"], f"{path}.items")
    for name, child in (node.get("properties") or {}).items():
        yield from _inside(child, f"{path}.properties[{name}]")
    for name, detail in _OUTSIDE_ONLY.items():
        if node.get(name):
            yield forbidden(f"{path}.{name}", detail)
    if "metadata" in (node.get("properties") or {}):
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _completeness(node: Json, path: str) -> Iterator[FieldError]:
    """What the combinations at the root restrict has to be specified outside of them."""
    for child, at in _junctions(node, path):
        yield from _specified(child, node, at, path)


def _junctions(node: Json, path: str) -> Iterator[tuple[Json, str]]:
    if node.get("not") is not None:
        yield node["not"], f"{path}.not"
    for name in ("allOf", "anyOf", "oneOf"):
        for index, child in enumerate(node.get(name) or ()):
            yield child, f"{path}.{name}[{index}]"


def _specified(node: Json, outside: Any, path: str, outside_path: str) -> Iterator[FieldError]:
    if not isinstance(outside, Mapping):
        yield required(outside_path, f"because it is defined in {path}")
        return
    for child, at in _junctions(node, path):
        yield from _specified(child, outside, at, outside_path)
    if isinstance(node.get("items"), Mapping):
        yield from _specified(node["items"], outside.get("items"), f"{path}.items", f"{outside_path}.items")
    for name, child in (node.get("properties") or {}).items():
        specified = (outside.get("properties") or {}).get(name)
        yield from _specified(child, specified, f"{path}.properties[{name}]", f"{outside_path}.properties[{name}]")
