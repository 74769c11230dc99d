"""Comparisons that quantities and versions have in common."""

from __future__ import annotations

from typing import Any

from motet.kinds.cel.library import ANY, BOOL, INT, Function, quantities, versions


def _compare(one: Any, other: Any) -> int:
    return versions.compare(one, other) if versions.is_version(one) else quantities.compare(one, other)


FUNCTIONS = (
    Function("compareTo", (ANY, ANY), INT, _compare, member=True),
    Function("isGreaterThan", (ANY, ANY), BOOL, lambda one, other: _compare(one, other) > 0, member=True),
    Function("isLessThan", (ANY, ANY), BOOL, lambda one, other: _compare(one, other) < 0, member=True),
)
