"""Regular expressions (RE2) and the named formats of Kubernetes (`format.dns1123Label()`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import UUID

from motet.base import names, timestamps
from motet.kinds.cel.library import ANY, BOOL, INT, LIST, STRING, Function, tagged, untagged
from motet.kinds.cel.library.urls import is_url
from motet.kinds.cel.rewriting import PROBLEMS

_TAG = "format"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    import re2

    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise ValueError(f"Illegal regex: {error}") from error


def _find(text: str, pattern: str) -> str:
    found = _compiled(pattern).search(text)
    return str(found.group(0)) if found is not None else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for match in _compiled(pattern).finditer(text):
        if limit >= 0 and len(found) >= limit:
            break
        found.append(str(match.group(0)))
    return found


def _prefixed(rule: Callable[[str], str]) -> Callable[[str], str]:
    """The rule of a name that something is appended to: a dash at its end is fine."""
    return lambda text: rule(text[:-1] + "a" if text.endswith("-") else text)


def _url(text: str) -> str:
    return "" if is_url(text) else "must be a valid URL"


def _uuid(text: str) -> str:
    try:
        return "" if str(UUID(text)) == text.lower() else "does not match the UUID format"
    except ValueError:
        return "does not match the UUID format"


def _byte(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "invalid base64"
    return ""


def _date(text: str) -> str:
    return "" if len(text) == 10 and not _datetime(text + "T00:00:00Z") else "invalid date"


def _datetime(text: str) -> str:
    try:
        timestamps.parse_time(text)
    except ValueError:
        return "invalid datetime"
    return ""


# Upstream's messages are those of the functions that object names are checked by.
_FORMATS: dict[str, Callable[[str], str]] = {
    "dns1123Label": names.label_error,
    "dns1123Subdomain": names.subdomain_error,
    "dns1035Label": names.label_1035_error,
    "dns1123LabelPrefix": _prefixed(names.label_error),
    "dns1123SubdomainPrefix": _prefixed(names.subdomain_error),
    "dns1035LabelPrefix": _prefixed(names.label_1035_error),
    "qualifiedName": names.qualified_name_error,
    "labelValue": names.label_value_error,
    "uri": _url,
    "uuid": _uuid,
    "byte": _byte,
    "date": _date,
    "datetime": _datetime,
}


def _named(name: str) -> dict[str, Any]:
    if name not in _FORMATS:
        raise ValueError(f"no format is called {name!r}; check with format.isNamed()")
    return tagged(_TAG, name)


def _problems(format: Any, text: str) -> list[str]:
    problem = _FORMATS[untagged(_TAG, format)](text)
    return [problem] if problem else []


FUNCTIONS = (
    Function("find", (STRING, STRING), STRING, _find, member=True),
    Function("findAll", (STRING, STRING), LIST, _find_all, member=True),
    Function("findAll", (STRING, STRING, INT), LIST, _find_all, member=True),
    Function("format.named", (STRING,), ANY, _named),
    Function("format.isNamed", (STRING,), BOOL, lambda name: name in _FORMATS),
    *(Function(f"format.{name}", (), ANY, lambda name=name: tagged(_TAG, name)) for name in _FORMATS),
    Function("jsonpatch.escapeKey", (STRING,), STRING, lambda key: key.replace("~", "~0").replace("/", "~1")),
    # `format.x().validate(text)` is an optional list upstream; see `rewriting`.
    Function(PROBLEMS, (ANY, STRING), LIST, _problems, member=True),
)
