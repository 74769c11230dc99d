"""`semver("1.2.3-rc.1")` (Semantic Versioning 2.0.0), and what can be asked of one."""

from __future__ import annotations

import re
from typing import Any

from motet.kinds.cel.library import ANY, BOOL, INT, STRING, Function, tagged, untagged

_TAG = "semver"
_NUMBER = r"(0|[1-9]\d*)"
_FORM = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)


def _label(text: str) -> tuple[int, int, str]:
    """Sorts one identifier of a pre-release: numbers before words."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def _parsed(text: str, normalize: bool = False) -> dict[str, Any]:
    text = _normalized(text) if normalize else text
    if _FORM.fullmatch(text) is None:
        raise ValueError(f"invalid semantic version: {text}")
    return tagged(_TAG, text)


def _normalized(text: str) -> str:
    """Without a leading v, with minor and patch, and no leading zeros."""
    text = text.removeprefix("v")
    core, sign, rest = re.fullmatch(r"([^-+]*)([-+]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    numbers = [part.lstrip("0") or "0" for part in core.split(".")]
    return ".".join(numbers + ["0"] * (3 - len(numbers))) + sign + rest


def _is_version(text: str, normalize: bool = False) -> bool:
    try:
        _parsed(text, normalize)
    except ValueError:
        return False
    return True


def _parts(value: Any) -> tuple[int, int, int, str]:
    found = _FORM.fullmatch(untagged(_TAG, value))
    assert found is not None
    return int(found.group(1)), int(found.group(2)), int(found.group(3)), found.group(4) or ""


def is_version(value: Any) -> bool:
    """Whether it is one of ours."""
    return isinstance(value, dict) and f"@{_TAG}" in value


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1; build metadata does not count."""
    left, right = _order(one), _order(other)
    return (left > right) - (left < right)


def _order(value: Any) -> tuple[Any, ...]:
    *core, label = _parts(value)
    # A release comes after its pre-releases.
    return (*core, not label, tuple(_label(part) for part in label.split(".")) if label else ())


FUNCTIONS = (
    Function("semver", (STRING,), ANY, _parsed),
    Function("semver", (STRING, BOOL), ANY, _parsed),
    Function("isSemver", (STRING,), BOOL, _is_version),
    Function("isSemver", (STRING, BOOL), BOOL, _is_version),
    Function("major", (ANY,), INT, lambda value: _parts(value)[0], member=True),
    Function("minor", (ANY,), INT, lambda value: _parts(value)[1], member=True),
    Function("patch", (ANY,), INT, lambda value: _parts(value)[2], member=True),
)
