"""Regular expressions of schemas, as Go reads them (RE2): matched in linear time, whatever the pattern and the text.

The engine is the one inside jsonschema-rs, whose syntax is nearly the same; the two spellings that differ are rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import jsonschema_rs

# What a pattern may cost: compiled size in bytes. Upstream's engine has a limit of the same order.
_LARGEST = 10 * 1024 * 1024
# Hand to every validator that has patterns in it: no backtracking, so nobody's pattern can hold up the server.
ENGINE = jsonschema_rs.RegexOptions(size_limit=_LARGEST)

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-\/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|$)", re.DOTALL)
_POSIX = re.compile(r"\[:(\w+):\]")


def translated(pattern: str) -> str:
    """The same pattern without `\\Q...\\E` and without `[:alpha:]` and its kin."""
    pattern = _QUOTED.sub(lambda found: re.escape(found.group(1)), pattern)
    return _POSIX.sub(lambda found: _CLASSES.get(found.group(1), found.group(0)), pattern)


def problem(pattern: str) -> str:
    """Why a pattern cannot be compiled, or an empty string."""
    try:
        _compiled(pattern)
    except ValueError as error:
        return str(error)
    return ""


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text. One that cannot be compiled matches nothing."""
    try:
        return _compiled(pattern)(text)
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Callable[[str], bool]:
    try:
        return jsonschema_rs.Draft202012Validator({"pattern": translated(pattern)}, pattern_options=ENGINE).is_valid
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise ValueError(f"error parsing regexp: {_first_line(error)}: `{pattern}`") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
