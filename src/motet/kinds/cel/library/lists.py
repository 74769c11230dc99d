"""What lists can be asked: order, sums, positions, and sets made of them (cel-go's ext.Sets)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from motet.kinds.cel import rewriting
from motet.kinds.cel.library import ANY, BOOL, INT, LIST, MAP, Function

Values = list[Any]


def _sorted(values: Values) -> bool:
    return all(one <= other for one, other in pairwise(values))


def _sum(values: Values) -> Any:
    total = values[0] if values else 0
    for value in values[1:]:
        total = total + value
    return total


def _extreme(name: str, choose: Callable[[Values], Any]) -> Callable[[Values], Any]:
    def found(values: Values) -> Any:
        if not values:
            raise ValueError(f"{name} called on empty list")
        return choose(values)

    return found


def _index(values: Values, value: Any) -> int:
    return next((index for index, each in enumerate(values) if _same(each, value)), -1)


def _last_index(values: Values, value: Any) -> int:
    return next((index for index in range(len(values) - 1, -1, -1) if _same(values[index], value)), -1)


def _same(one: Any, other: Any) -> bool:
    """Equality as CEL has it: 1 is 1.0 but not true."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _contains(values: Values, others: Values) -> bool:
    return all(any(_same(value, other) for value in values) for other in others)


def _intersects(values: Values, others: Values) -> bool:
    return any(_same(value, other) for value in values for other in others)


def _equivalent(values: Values, others: Values) -> bool:
    return _contains(values, others) and _contains(others, values)


def _merged(entries: Values) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for entry in entries:
        for key, value in entry.items():
            if key in merged:
                raise ValueError(f"insert failed: key '{key}' already exists")
            merged[key] = value
    return merged


FUNCTIONS = (
    Function("isSorted", (LIST,), BOOL, _sorted, member=True),
    Function("sum", (LIST,), ANY, _sum, member=True),
    Function("min", (LIST,), ANY, _extreme("min", min), member=True),
    Function("max", (LIST,), ANY, _extreme("max", max), member=True),
    Function("indexOf", (LIST, ANY), INT, _index, member=True),
    Function("lastIndexOf", (LIST, ANY), INT, _last_index, member=True),
    Function("sets.contains", (LIST, LIST), BOOL, _contains),
    Function("sets.intersects", (LIST, LIST), BOOL, _intersects),
    Function("sets.equivalent", (LIST, LIST), BOOL, _equivalent),
    # What macros with two variables are rewritten to.
    Function(rewriting.PAIRS, (LIST,), LIST, lambda values: [[i, each] for i, each in enumerate(values)], member=True),
    Function(rewriting.PAIRS, (MAP,), LIST, lambda found: [[key, found[key]] for key in found], member=True),
    Function(rewriting.TO_LIST, (LIST,), LIST, lambda values: values, member=True),
    Function(rewriting.TO_MAP, (LIST,), MAP, lambda pairs: {pair[0]: pair[1] for pair in pairs}, member=True),
    Function(rewriting.MERGE, (LIST,), MAP, _merged, member=True),
)
