"""Functions that Kubernetes adds to CEL ("Common Expression Language in Kubernetes", CEL libraries), by subject.

Values of types that CEL does not have (a quantity, an address, a version) are maps with one telling key, `tag`; two of
them are equal when what they mean is. A function that is given something else says so as CEL does: no such overload.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

ANY, BOOL, INT, DOUBLE, STRING, LIST, MAP = "dyn", "bool", "int", "double", "string", "list", "map"


class Function(NamedTuple):
    """One overload: types by name, and what it does. `member` functions are called on their first argument."""

    name: str
    takes: Sequence[str]
    gives: str
    does: Callable[..., Any]
    member: bool = False


def tagged(tag: str, value: Any) -> dict[str, Any]:
    """A value of a type of ours."""
    return {f"@{tag}": value}


def untagged(tag: str, value: Any) -> Any:
    """What a value of ours holds. Raises ValueError for any other."""
    if isinstance(value, dict) and (key := f"@{tag}") in value:
        return value[key]
    raise ValueError("no such overload")
