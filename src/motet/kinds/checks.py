"""Small checks that many kinds share. Each gives a list of complaints, empty when all is well."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from motet.base import names, quantity
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required, unsupported
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, text

NOT_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
PORT_RANGE = "must be between 1 and 65535, inclusive"
IP_MESSAGE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CONFIG_KEY_MESSAGE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
PERCENT_MESSAGE = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
MAX_INT32 = 2**31 - 1
# One mebibyte: what a ConfigMap or a Secret may hold.
MAX_DATA_SIZE = 1024 * 1024

_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PERCENT = re.compile(r"[0-9]+%")

Why = Callable[[str], str]


def named(path: str, value: str, why: Why, *, needed: bool = True, detail: str = "") -> list[FieldError]:
    """A name that has to follow a rule of `motet.base.names`; missing is a complaint only when `needed`."""
    if not value:
        return [required(path, detail)] if needed else []
    problem = why(value)
    return [invalid(path, value, problem)] if problem else []


def one_of(path: str, value: str, allowed: Iterable[str], *, needed: bool = True) -> list[FieldError]:
    """One of a few words."""
    allowed = tuple(allowed)
    if not value:
        return [required(path)] if needed else []
    return [] if value in allowed else [unsupported(path, value, allowed)]


def not_negative(parent: Json, path: str, *keys: str) -> list[FieldError]:
    """Numbers under `keys` that are there must not be below zero."""
    return [
        invalid(f"{path}.{key}", parent[key], NOT_NEGATIVE)
        for key in keys
        if isinstance(parent.get(key), int) and parent[key] < 0
    ]


def between(path: str, value: Any, low: int, high: int = MAX_INT32) -> list[FieldError]:
    """A whole number in a range, both ends included; nothing to say when it is missing."""
    if not isinstance(value, int) or low <= value <= high:
        return []
    return [invalid(path, value, f"must be between {low} and {high}, inclusive")]


def port(path: str, value: Any) -> list[FieldError]:
    """A port number."""
    return between(path, value, 1, 65535)


def port_or_name(path: str, value: Any) -> list[FieldError]:
    """A port number, or the name of one."""
    if isinstance(value, str):
        problem = names.port_name_error(value)
        return [invalid(path, value, problem)] if problem else []
    return port(path, value if value is not None else 0)


def ip(path: str, value: str, version: int = 0) -> list[FieldError]:
    """An address, of IP version 4 or 6 when said."""
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return [invalid(path, value, IP_MESSAGE)]
    if version and found.version != version:
        return [invalid(path, value, f"must be an IPv{version} address")]
    return []


def cidr(path: str, value: str) -> list[FieldError]:
    """An address range, IPv4 or IPv6; host bits may be set."""
    try:
        if "/" in value and ipaddress.ip_network(value, strict=False):
            return []
    except ValueError:
        pass
    return [invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]


def amount(path: str, value: Any, *, above_zero: bool = False) -> list[FieldError]:
    """A quantity that is not negative."""
    try:
        found = quantity.parse(value)
    except (ValueError, TypeError):
        return [invalid(path, value, quantity.MESSAGE)]
    if above_zero and found <= 0:
        return [invalid(path, value, "must be greater than zero")]
    return [invalid(path, value, NOT_NEGATIVE)] if found < 0 else []


def count_or_percent(path: str, value: Any) -> list[FieldError]:
    """A number that is not negative, or a percentage such as `25%`."""
    if isinstance(value, str):
        return [] if _PERCENT.fullmatch(value) else [invalid(path, value, PERCENT_MESSAGE)]
    if isinstance(value, int) and value < 0:
        return [invalid(path, value, NOT_NEGATIVE)]
    return []


def at_most_all(path: str, value: Any) -> list[FieldError]:
    """A percentage must not pass 100%."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def labels(path: str, found: Mapping[str, Any]) -> list[FieldError]:
    """Keys and values of labels, also of plain map selectors."""
    errors = []
    for key, value in found.items():
        if problem := names.qualified_name_error(key):
            errors.append(invalid(path, key, problem))
        if problem := names.label_value_error(str(value)):
            errors.append(invalid(path, value, problem))
    return errors


def label_selector(path: str, selector: Json) -> list[FieldError]:
    """A LabelSelector document."""
    errors = labels(f"{path}.matchLabels", mapping(selector, "matchLabels"))
    for index, expression in enumerate(objects(selector, "matchExpressions")):
        here = f"{path}.matchExpressions[{index}]"
        values = expression.get("values") or []
        match text(expression, "operator"):
            case "In" | "NotIn":
                if not values:
                    errors.append(required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
            case "Exists" | "DoesNotExist":
                if values:
                    errors.append(
                        forbidden(
                            f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                        )
                    )
            case other:
                errors.append(invalid(f"{here}.operator", other, "not a valid selector operator"))
        errors += named(f"{here}.key", text(expression, "key"), names.qualified_name_error)
        for at, value in enumerate(values):
            errors += named(f"{here}.values[{at}]", str(value), names.label_value_error, needed=False)
    return errors


def config_key(path: str, key: str) -> list[FieldError]:
    """A key of a ConfigMap or Secret: it becomes a file name."""
    if len(key) > 253:
        return [invalid(path, key, "must be no more than 253 characters")]
    if not _CONFIG_KEY.fullmatch(key):
        return [invalid(path, key, CONFIG_KEY_MESSAGE)]
    if key == ".":
        return [invalid(path, key, "must not be '.'")]
    if key == "..":
        return [invalid(path, key, "must not be '..'")]
    return [invalid(path, key, "must not start with '..'")] if key.startswith("..") else []


def too_long(path: str, limit: int) -> FieldError:
    """More bytes than allowed."""
    return FieldError(path, "FieldValueTooLong", detail=f"may not be more than {limit} bytes")


def too_many(path: str, count: int, limit: int) -> FieldError:
    """More items than allowed."""
    return FieldError(path, "FieldValueTooMany", count, f"{count}: must have at most {limit} items")


def unchanged(path: str, value: Any, old: Any) -> list[FieldError]:
    """A field that stays as it was made."""
    return [] if value == old else [invalid(path, value, IMMUTABLE)]


def distinct(items: Iterable[tuple[str, Any]]) -> list[FieldError]:
    """Of (path, value) pairs, the later ones of any value that occurs twice; empty values do not count."""
    seen: list[Any] = []
    errors = []
    for path, value in items:
        if not value:
            continue
        if value in seen:
            errors.append(duplicate(path, value))
        seen.append(value)
    return errors


def reachable_ip(path: str, value: str) -> list[FieldError]:
    """An address that another machine can be meant by."""
    if errors := ip(path, value):
        return errors
    found = ipaddress.ip_address(value)
    if found.is_unspecified:
        return [invalid(path, value, f"may not be unspecified ({value})")]
    if found.is_loopback:
        return [invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    if found.is_link_local:
        return [invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    if found.is_multicast:
        return [invalid(path, value, "may not be in the multicast range (224.0.0.0/4, ff00::/10)")]
    return []
