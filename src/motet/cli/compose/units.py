"""Compose's own notations for sizes, times and processors. All raise ValueError saying what was expected."""

from __future__ import annotations

import math
import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_FACTORS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def size(text: str) -> int:
    """Bytes of `512`, `64m`, `1.5gb`, `2gib`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 512m or 1.5gb, found {text!r}")
    return int(float(match[1]) * _FACTORS[match[2].lower()])


def seconds(text: str) -> int:
    """Whole seconds, rounded up, of `90s`, `1m30s`, `500ms`."""
    return math.ceil(duration(text))


def duration(text: str) -> float:
    """Seconds of `90s`, `1m30s`, `500ms`."""
    text = text.strip()
    if text.isdigit():
        return int(text)
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(f"expected a duration such as 30s or 1m30s, found {text!r}")
    return sum(float(part[1]) * _SECONDS[part[2]] for part in parts)


def millicores(text: str) -> int:
    """Thousandths of a processor of `0.5` or `2`."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value < 0 or not math.isfinite(value):
        raise ValueError(f"expected a number of processors such as 0.5, found {text!r}")
    return round(value * 1000)


def ratio(text: str) -> float:
    """A share from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"expected a number from 0 to 1, found {text!r}")
    return value


def octal(text: str) -> int:
    """Permissions such as 0440; YAML's own `0o440` is read too."""
    try:
        value = int(text.lower().removeprefix("0o"), 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o7777:
        raise ValueError(f"expected octal permissions such as 0440, found {text!r}")
    return value
