"""The formats of strings in custom resources' schemas, with upstream's meaning of each (go-openapi/strfmt).

A name means the same with and without dashes (`date-time`, `datetime`). What is not in the table restricts nothing.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from motet.base import timestamps

Check = Callable[[str], bool]

_UUID = "(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s-?[0-9a-f]{12}"
_CARD = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})"
)
_HOSTNAME = re.compile(
    r"(?:[a-zA-Z0-9\u0080-\U0010ffff](?:[-a-zA-Z0-9\u0080-\U0010ffff]{0,61}[a-zA-Z0-9\u0080-\U0010ffff])?)"
    r"(?:\.[a-zA-Z0-9\u0080-\U0010ffff](?:[-a-zA-Z0-9\u0080-\U0010ffff]{0,61}[a-zA-Z0-9\u0080-\U0010ffff])?)*\.?"
)
_MAC = re.compile(r"[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2})(?:\1[0-9a-fA-F]{2}){4}(?:(?:\1[0-9a-fA-F]{2}){2})?")
_MAC_DOTTED = re.compile(r"[0-9a-fA-F]{4}(?:\.[0-9a-fA-F]{4}){2}(?:\.[0-9a-fA-F]{4})?")
_EMAIL = re.compile(r"(?:[^<>]*<)?[^\s@<>\"(),:;\[\]\\]+@[^\s@<>\"(),:;\\]+>?")
_GO_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_SCALA_DURATION = re.compile(
    r"\d+(?:\.\d+)?\s*(?:ns|nano|nanosecond|nanoseconds|nanos|us|µs|μs|micro|micros|microsecond|microseconds|ms|milli|millis"
    r"|millisecond|milliseconds|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hrs|hour|hours|d|day|days|w|wk|wks"
    r"|week|weeks)"
)


def normalized(name: str) -> str:
    """The name a format is looked up by."""
    return name.replace("-", "")


def known(name: str) -> Check | None:
    """The check of a format; None when it restricts nothing."""
    return _FORMATS.get(normalized(name))


def _matching(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _parsed_by(parse: Callable[[str], object]) -> Check:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _uri(text: str) -> bool:
    """As Go's ParseRequestURI: absolute, or a path from the root."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in text):
        return False
    return text.startswith("/") or bool(parts.scheme)


def _hostname(text: str) -> bool:
    return 0 < len(text) <= 253 and _HOSTNAME.fullmatch(text) is not None


def _mac(text: str) -> bool:
    return _MAC.fullmatch(text) is not None or _MAC_DOTTED.fullmatch(text) is not None


def _cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return bool(slash and address) and bits.isascii() and bits.isdigit()


def _isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", digits):
        return False
    return sum((10 - at) * (10 if char == "X" else int(char)) for at, char in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{13}", digits):
        return False
    return sum(int(char) * (3 if at % 2 else 1) for at, char in enumerate(digits)) % 10 == 0


def _card(text: str) -> bool:
    digits = re.sub(r"[^0-9]", "", text)
    if not _CARD.fullmatch(digits):
        return False
    doubled = [int(char) * (2 if at % 2 else 1) for at, char in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _rgb(text: str) -> bool:
    found = re.fullmatch(r"rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)", text)
    return found is not None and all(int(part) < 256 for part in found.groups())


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _date(text: str) -> datetime.date:
    if len(text) != 10:
        raise ValueError(text)
    return datetime.date.fromisoformat(text)


def _duration(text: str) -> bool:
    return _GO_DURATION.fullmatch(text) is not None or _SCALA_DURATION.fullmatch(text.strip()) is not None


_FORMATS: dict[str, Check] = {
    "bsonobjectid": _matching("[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _matching(_EMAIL.pattern),
    "hostname": _hostname,
    "ipv4": _parsed_by(ipaddress.IPv4Address),
    "ipv6": _parsed_by(ipaddress.IPv6Address),
    "cidr": _cidr,
    "mac": _mac,
    "uuid": _matching(_UUID % ("[0-9a-f]", "[0-9a-f]{4}")),
    "uuid3": _matching(_UUID % ("3", "[0-9a-f]{4}")),
    "uuid4": _matching(_UUID % ("4", "[89ab][0-9a-f]{3}")),
    "uuid5": _matching(_UUID % ("5", "[89ab][0-9a-f]{3}")),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _card,
    "ssn": _matching(r"[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}"),
    "hexcolor": _matching("#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _rgb,
    "byte": _byte,
    "password": lambda text: True,
    "date": _parsed_by(_date),
    "duration": _duration,
    "datetime": _parsed_by(timestamps.parse_time),
}

# For the gate: the same checks under names that no other meaning of a format can get in the way of.
GATE = {f"go-{name}": check for name, check in _FORMATS.items()}
