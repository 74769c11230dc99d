"""Resource quantities: `500m`, `1.5`, `64Mi`, `1e3`, `2G` (Kubernetes "Quantity" in apimachinery's resource API).

Values are exact: `Fraction` inside, millicores and bytes as `int` at the edges, rounded up as upstream does.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(10**3),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
}  # fmt: skip
_SCALES = {**{suffix: Fraction(factor) for suffix, factor in _BINARY.items()}, **_DECIMAL}
_PATTERN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")

MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@lru_cache(maxsize=4096)
def parse(text: str | int | float) -> Fraction:
    """The exact value of a quantity. Raises ValueError with upstream's sentence."""
    match = _PATTERN.fullmatch(str(text))
    if match is None:
        raise ValueError(MESSAGE)
    number, exponent, scale = match.groups()
    if exponent:
        return Fraction(Decimal(number + exponent))
    return Fraction(number) * _SCALES[scale or ""]


@lru_cache(maxsize=4096)
def millis(text: str | int | float) -> int:
    """Thousandths, rounded up: millicores for CPU."""
    return ceil(parse(text) * 1000)


@lru_cache(maxsize=4096)
def whole(text: str | int | float) -> int:
    """Units, rounded up: bytes for memory, a count for pods."""
    return ceil(parse(text))


def format_millis(value: int) -> str:
    """Canonical decimal form of a number of thousandths: 1500 -> `1500m`, 2000 -> `2`."""
    return str(value // 1000) if value % 1000 == 0 else f"{value}m"


def format_bytes(value: int) -> str:
    """Canonical binary form of a number of bytes: 67108864 -> `64Mi`."""
    for suffix, factor in reversed(_BINARY.items()):
        if value and value % factor == 0:
            return f"{value // factor}{suffix}"
    return str(value)


def canonical(text: str | int | float) -> str:
    """The quantity as upstream prints it: same value and family of suffix, no fraction, largest suffix that is exact."""
    source = str(text)
    value = parse(source)
    binary = source.endswith("i")
    if binary and value.denominator == 1 and (value == 0 or abs(value) >= 1024):
        return ("-" if value < 0 else "") + format_bytes(abs(value.numerator))
    if value == 0:
        return "0"
    exponent = re.search(r"[eE]", source) and not source.endswith("E")
    for suffix in reversed(_DECIMAL):
        scaled = value / _DECIMAL[suffix]
        if scaled.denominator == 1:
            return f"{scaled.numerator}{_exponent(suffix) if exponent else suffix}"
    return f"{ceil(value * 10**9)}n"


def _exponent(suffix: str) -> str:
    power = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}[suffix]
    return f"e{power}" if power else ""
