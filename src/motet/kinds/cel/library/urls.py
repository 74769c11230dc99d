"""`url("https://host:443/path?q=1")` and its parts, as Go's net/url sees them."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from motet.kinds.cel.library import ANY, BOOL, MAP, STRING, Function, tagged, untagged

_TAG = "url"


def _parse(text: str) -> SplitResult:
    """Absolute, or a path from the root. Raises ValueError."""
    parts = urlsplit(text)
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text) or " " in parts.netloc:
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid character")
    if not (text.startswith("/") or parts.scheme):
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    _ = parts.port  # raises for one that is no number
    return parts


def is_url(text: str) -> bool:
    """Whether it can be read as one."""
    try:
        _parse(text)
    except ValueError:
        return False
    return True


def _made(text: str) -> dict[str, Any]:
    _parse(text)
    return tagged(_TAG, text)


def _of(value: Any) -> SplitResult:
    return urlsplit(str(untagged(_TAG, value)))


def _hostname(value: Any) -> str:
    host = _of(value).netloc.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _port(value: Any) -> str:
    port = _of(value).port
    return "" if port is None else str(port)


FUNCTIONS = (
    Function("url", (STRING,), ANY, _made),
    Function("isURL", (STRING,), BOOL, is_url),
    Function("getScheme", (ANY,), STRING, lambda value: _of(value).scheme, member=True),
    Function("getHost", (ANY,), STRING, lambda value: _of(value).netloc.rpartition("@")[2], member=True),
    Function("getHostname", (ANY,), STRING, _hostname, member=True),
    Function("getPort", (ANY,), STRING, _port, member=True),
    Function(
        "getEscapedPath", (ANY,), STRING, lambda value: quote(_of(value).path, safe="/%:@!$&'()*+,;=~"), member=True
    ),
    Function("getQuery", (ANY,), MAP, lambda value: parse_qs(_of(value).query, keep_blank_values=True), member=True),
)
