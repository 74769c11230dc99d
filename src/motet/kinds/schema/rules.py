"""Value rules of custom resources (and of Motet's own kinds): what is broken, in upstream's sentences, with the path.

`broken` looks at the rules of one value. The restrictions that combine schemas (`allOf`, `anyOf`, `oneOf`, `not`) have
nodes of their own below them, which restrict members and items in turn and have no types; they stay in OpenAPI's form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from motet.base.errors import FieldError, invalid, required, unsupported
from motet.kinds.schema import formats, patterns

Json = dict[str, Any]

# Where upstream puts what it says about a combination: it names the place in the sentence instead.
NOWHERE = "<nil>"

# How a custom resource's schema calls a JSON type.
_TYPES: dict[type, str] = {
    dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null",
}  # fmt: skip


def broken(rules: Mapping[str, Any], value: Any, path: str) -> list[FieldError]:
    """Every rule the value breaks."""
    found: list[FieldError] = []
    for name, limit in rules.items():
        check = _RULES.get(name)
        if check is not None:
            found += check(value, limit, path)
    return found


def bad_format(name: str, value: Any, path: str) -> list[FieldError]:
    """Whether text has the format its schema asks for."""
    check = formats.known(name) if isinstance(value, str) else None
    if check is None or check(value):
        return []
    return [wrong_type(name, value, path, found=value)]


def wrong_type(expected: str, value: Any, path: str, *, found: str | None = None) -> FieldError:
    """A value of another type than the schema's."""
    shown = _TYPES.get(type(value), "object") if found is None else found
    at = path or NOWHERE
    return FieldError(at, "FieldValueTypeInvalid", shown, f'{at} in body must be of type {expected}: "{shown}"')


def not_allowed(value: Any, allowed: Iterable[Any], path: str) -> FieldError:
    """A value outside its enumeration."""
    return unsupported(path, value, (item if isinstance(item, str) else _shown(item) for item in allowed))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def nested(node: Mapping[str, Any], value: Any, path: str) -> list[FieldError]:
    """What a node below a combination has to say about a value."""
    if value is None:
        return []
    kind = node.get("type")
    if kind and not _is(kind, value):
        return [wrong_type(str(kind), value, path)]
    found: list[FieldError] = []
    if node.get("enum") and not any(same(value, allowed) for allowed in node["enum"]):
        found.append(not_allowed(value, node["enum"], path))
    if node.get("format"):
        found += bad_format(str(node["format"]), value, path)
    found += broken(plain(node), value, path)
    if isinstance(value, dict):
        found += [required(_member(path, name)) for name in node.get("required") or () if name not in value]
        for name, inner in (node.get("properties") or {}).items():
            if name in value:
                found += nested(inner, value[name], _member(path, name))
    if isinstance(value, list) and isinstance(node.get("items"), Mapping):
        for index, item in enumerate(value):
            found += nested(node["items"], item, f"{path}[{index}]")
    return found


def plain(node: Mapping[str, Any]) -> Json:
    """The rules of an OpenAPI node, exclusive bounds as numbers of their own (JSON Schema 2020-12)."""
    rules = {name: node[name] for name in NAMES if node.get(name) is not None}
    for name, bound in _EXCLUSIVE.items():
        if node.get(name) is True and bound in rules:  # A flag there, a number in later JSON Schema.
            rules[name] = rules.pop(bound)
    return rules


def same(one: Any, other: Any) -> bool:
    """Equality as JSON means it: 1 is 1.0 but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _member(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is(kind: str, value: Any) -> bool:
    if kind == "integer":
        whole = isinstance(value, float) and value.is_integer()
        return whole or (isinstance(value, int) and not isinstance(value, bool))
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return _TYPES.get(type(value)) == kind


def _sentence(path: str, value: Any, text: str) -> list[FieldError]:
    return [invalid(path, value, f"{path} in body {text}")]


def _compared(text: str, fails: Callable[[Any, Any], bool]) -> Callable[[Any, Any, str], list[FieldError]]:
    def check(value: Any, limit: Any, path: str) -> list[FieldError]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not fails(value, limit):
            return []
        return _sentence(path, value, text.format(_number(limit)))

    return check


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _at_least(kind: type, text: str) -> Callable[[Any, Any, str], list[FieldError]]:
    def check(value: Any, limit: Any, path: str) -> list[FieldError]:
        if not isinstance(value, kind) or len(value) >= limit:  # type: ignore[arg-type]
            return []
        shown = value if kind is str else limit if kind is dict else len(value)  # type: ignore[arg-type]
        return _sentence(path, shown, text.format(limit))

    return check


def _max_length(value: Any, limit: Any, path: str) -> list[FieldError]:
    if not isinstance(value, str) or len(value) <= limit:
        return []
    return [FieldError(path, "FieldValueTooLong", value, f"may not be more than {limit} bytes")]


def _at_most(kind: type) -> Callable[[Any, Any, str], list[FieldError]]:
    def check(value: Any, limit: Any, path: str) -> list[FieldError]:
        if not isinstance(value, kind) or len(value) <= limit:  # type: ignore[arg-type]
            return []
        count = len(value)  # type: ignore[arg-type]
        return [FieldError(path, "FieldValueTooMany", count, f"{count}: must have at most {limit} items")]

    return check


def _pattern(value: Any, pattern: Any, path: str) -> list[FieldError]:
    if not isinstance(value, str) or patterns.matches(pattern, value):
        return []
    return _sentence(path, value, f"should match '{pattern}'")


def _unique(value: Any, on: Any, path: str) -> list[FieldError]:
    if not on or not isinstance(value, list):
        return []
    repeats = any(item in value[:index] for index, item in enumerate(value))
    return _sentence(path, value, "shouldn't contain duplicates") if repeats else []


def _combined(path: str, text: str) -> FieldError:
    return invalid(NOWHERE, "", f'"{path}" {text}')


def _best(failures: list[list[FieldError]]) -> list[FieldError]:
    """Of several failed alternatives, what the one says that nearly fits."""
    return min(failures, key=len, default=[])


def _all_of(value: Any, nodes: Any, path: str) -> list[FieldError]:
    failures = [errors for node in nodes if (errors := nested(node, value, path))]
    if not failures:
        return []
    more = ". None validated" if len(failures) == len(nodes) else ""
    listed = [error for errors in failures for error in errors]
    return [*listed, _combined(path, f"must validate all the schemas (allOf){more}")]


def _any_of(value: Any, nodes: Any, path: str) -> list[FieldError]:
    failures = [nested(node, value, path) for node in nodes]
    if not failures or any(not errors for errors in failures):
        return []
    return [_combined(path, "must validate at least one schema (anyOf)"), *_best(failures)]


def _one_of(value: Any, nodes: Any, path: str) -> list[FieldError]:
    failures = [errors for node in nodes if (errors := nested(node, value, path))]
    valid = len(nodes) - len(failures)
    if valid == 1:
        return []
    text = "must validate one and only one schema (oneOf). "
    if valid:
        return [_combined(path, f"{text}Found {valid} valid alternatives")]
    return [_combined(path, f"{text}Found none valid"), *_best(failures)]


def _not(value: Any, node: Any, path: str) -> list[FieldError]:
    return [] if nested(node, value, path) else [_combined(path, "must not validate the schema (not)")]


_RULES: dict[str, Callable[[Any, Any, str], list[FieldError]]] = {
    "minimum": _compared("should be greater than or equal to {}", lambda value, limit: value < limit),
    "maximum": _compared("should be less than or equal to {}", lambda value, limit: value > limit),
    "exclusiveMinimum": _compared("should be greater than {}", lambda value, limit: value <= limit),
    "exclusiveMaximum": _compared("should be less than {}", lambda value, limit: value >= limit),
    "multipleOf": _compared("should be a multiple of {}", lambda value, factor: not (value / factor).is_integer()),
    "minLength": _at_least(str, "should be at least {} chars long"),
    "maxLength": _max_length,
    "minItems": _at_least(list, "should have at least {} items"),
    "maxItems": _at_most(list),
    "minProperties": _at_least(dict, "should have at least {} properties"),
    "maxProperties": _at_most(dict),
    "pattern": _pattern,
    "uniqueItems": _unique,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
}
_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
# The rules there are, by the names OpenAPI and JSON Schema share.
NAMES = tuple(name for name in _RULES if name not in _EXCLUSIVE)
