"""`quantity("1.5Gi")` and what can be calculated with one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from motet.base import quantity
from motet.kinds.cel.library import ANY, BOOL, DOUBLE, INT, STRING, Function, tagged, untagged

_TAG = "quantity"


def made(value: Fraction) -> dict[str, Any]:
    return tagged(_TAG, str(value))


def of(value: Any) -> Fraction:
    """The number of a quantity, or a whole number. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    return Fraction(untagged(_TAG, value))


def _parsed(text: str) -> dict[str, Any]:
    return made(quantity.parse(text))


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except ValueError:
        return False
    return True


def _as_integer(value: Any) -> int:
    number = of(value)
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(number)


def _is_integer(value: Any) -> bool:
    number = of(value)
    return number.denominator == 1 and -(2**63) <= number < 2**63


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1."""
    left, right = of(one), of(other)
    return (left > right) - (left < right)


FUNCTIONS = (
    Function("quantity", (STRING,), ANY, _parsed),
    Function("isQuantity", (STRING,), BOOL, _is_quantity),
    Function("isInteger", (ANY,), BOOL, _is_integer, member=True),
    Function("asInteger", (ANY,), INT, _as_integer, member=True),
    Function("asApproximateFloat", (ANY,), DOUBLE, lambda value: float(of(value)), member=True),
    Function("sign", (ANY,), INT, lambda value: compare(value, 0), member=True),
    Function("add", (ANY, ANY), ANY, lambda one, other: made(of(one) + of(other)), member=True),
    Function("sub", (ANY, ANY), ANY, lambda one, other: made(of(one) - of(other)), member=True),
)
