"""The simple JSON paths of printer columns, scale subresources and selectable fields (kubectl's "JSONPath support").

`.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`, `.spec.ports[0].name`, `.spec.items[*].name`,
`.metadata.labels.app\\.kubernetes\\.io/name`. What a definition cannot ask with (filters by other operators than
comparison, unions, recursion) is refused when it is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

Step = Callable[[Any], Iterator[Any]]

_NAME = re.compile(r"(?:\\.|[^.\[\]\\\s])+")
_BRACKET = re.compile(r"\[(?:'((?:\\.|[^'])*)'|\"((?:\\.|[^\"])*)\"|(-?\d+)|(\*)|(-?\d*:-?\d*)|\?\((.*?)\))\]")
# The members a path of nothing else goes through: names, and quoted ones in brackets.
MEMBERS = re.compile(r"\.?((?:\\.|[^.\[\]\\\s])+)|\['((?:\\.|[^'])*)'\]|\[\"((?:\\.|[^\"])*)\"\]")
_FILTER = re.compile(r"\s*@((?:\.|\[).*?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*")
_EXISTS = re.compile(r"\s*@((?:\.|\[).*?)\s*")


@lru_cache(maxsize=2048)
def parse(path: str) -> Sequence[Step]:
    """A path as steps. Raises ValueError saying what cannot be read."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        if path[at] == "[":
            found = _BRACKET.match(path, at)
            if found is None:
                raise ValueError(f"unterminated or unsupported array in {path!r}")
            steps.append(_bracket(found))
        elif path[at] == ".":
            if path.startswith("..", at):
                raise ValueError(f"recursive descent is not supported: {path!r}")
            at += 1
            if at == len(path) or path[at] == "[":
                continue
            found = _NAME.match(path, at)
            if found is None:
                raise ValueError(f"unrecognized character in {path!r} at {at}")
            steps.append(_every if found.group(0) == "*" else _member(_unescaped(found.group(0))))
        else:
            raise ValueError(f"{path!r} must start with '.'")
        at = found.end()
    return tuple(steps)


def find(path: str, document: Any) -> list[Any]:
    """Everything at a path; nothing where a member is missing."""
    values = [document]
    for step in parse(path):
        values = [found for value in values for found in step(value)]
    return values


def shown(value: Any) -> str:
    """A value as text: objects and lists as JSON, as Go prints the rest."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "<nil>" if value is None else str(value)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _index(number: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= number < len(value):
            yield value[number]

    return step


def _slice(text: str) -> Step:
    first, last = (int(part) if part else None for part in text.split(":"))

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[first:last]

    return step


def _bracket(found: re.Match[str]) -> Step:
    single, double, number, star, part, condition = found.groups()
    if number is not None:
        return _index(int(number))
    if star is not None:
        return _every
    if part is not None:
        return _slice(part)
    if condition is not None:
        return _filter(condition)
    return _member(_unescaped(single if single is not None else double))


def _filter(text: str) -> Step:
    compared = _FILTER.fullmatch(text)
    if compared is None:
        exists = _EXISTS.fullmatch(text)
        if exists is None:
            raise ValueError(f"unsupported filter {text!r}")
        inner = exists.group(1)
        parse(inner)
        return lambda value: (item for item in _items(value) if find(inner, item))
    inner, operator, literal = compared.groups()
    parse(inner)
    wanted, holds = _literal(literal), _OPERATORS[operator]
    return lambda value: (item for item in _items(value) if any(holds(left, wanted) for left in find(inner, item)))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []


def _literal(text: str) -> Any:
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        return _unescaped(text[1:-1])
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"unsupported value {text!r} in a filter") from error


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def holds(left: Any, right: Any) -> bool:
        try:
            return compare(left, right)
        except TypeError:
            return False

    return holds


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: bool(left == right),
    "!=": lambda left, right: bool(left != right),
    "<": _ordered(lambda left, right: bool(left < right)),
    "<=": _ordered(lambda left, right: bool(left <= right)),
    ">": _ordered(lambda left, right: bool(left > right)),
    ">=": _ordered(lambda left, right: bool(left >= right)),
}
