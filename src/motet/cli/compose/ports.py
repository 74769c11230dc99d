"""The `ports` of a service, short (`8080:80/tcp`, ranges, `127.0.0.1:8080:80`) and long."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from motet.cli.compose.model import PublishedPort
from motet.cli.compose.source import Fields, Source, Value, text

_PROTOCOLS = ("tcp", "udp")


def read(source: Source, at: Value) -> Iterator[PublishedPort]:
    """All ports of the list; what is wrong is noted in `source`."""
    if not isinstance(at.content, list):
        source.problem(at, f"expected a list, found {at.described()}")
        return
    for item in at.content:
        if item.is_map:
            yield from _long(Fields(source, item))
        else:
            try:
                yield from _short(text(source, item))
            except ValueError as error:
                source.problem(item, str(error))


def _long(fields: Fields) -> Iterator[PublishedPort]:
    target = fields.number("target", least=1)
    if not 1 <= target <= 65535:
        fields.source.problem(fields.items.get("target", fields.at), "expected `target`, a port from 1 to 65535")
        return
    published = fields.text("published")
    mode = fields.choice("mode", ("ingress", "host"), "ingress")
    protocol = fields.choice("protocol", _PROTOCOLS, "tcp")
    try:
        host_ip = _host_ip(fields.text("host_ip"))
    except ValueError as error:
        fields.source.problem(fields.items["host_ip"], str(error))
        return
    # A name for people.
    fields.text("name")
    app_protocol = fields.text("app_protocol")
    fields.finish()
    try:
        wanted = _number(published) if published else 0
    except ValueError as error:
        fields.source.problem(fields.items["published"], str(error))
        return
    yield PublishedPort(target, wanted, protocol.upper(), host_ip, mode == "host" or bool(host_ip), app_protocol)


def _short(spec: str) -> Iterator[PublishedPort]:
    body, _, protocol = spec.partition("/")
    protocol = protocol or "tcp"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"{spec!r}: the protocol {protocol!r} is not supported; expected tcp or udp")
    host_ip = ""
    if body.startswith("["):
        raise ValueError(f"{spec!r}: IPv6 host addresses are not supported yet")
    parts = body.split(":")
    if len(parts) > 3:
        raise ValueError(f"{spec!r}: expected [HOST_IP:][PUBLISHED:]TARGET[/PROTOCOL]")
    if len(parts) == 3:
        host_ip = _host_ip(parts.pop(0))
    targets = _range(parts[-1])
    published = _range(parts[0]) if len(parts) == 2 and parts[0] else [0] * len(targets)
    if len(published) != len(targets):
        raise ValueError(f"{spec!r}: the two ranges have different lengths ({len(published)} and {len(targets)})")
    for outer, inner in zip(published, targets, strict=True):
        yield PublishedPort(inner, outer, protocol.upper(), host_ip, bool(host_ip))


def _host_ip(address: str) -> str:
    """The address to publish on; empty for all of them. Raises ValueError."""
    if not address:
        return ""
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError as error:
        raise ValueError(f"{address!r} is not an IPv4 address") from error
    return "" if parsed == ipaddress.IPv4Address(0) else address


def _range(text_range: str) -> list[int]:
    first, dash, last = text_range.partition("-")
    low = _number(first)
    high = _number(last) if dash else low
    if high < low:
        raise ValueError(f"the range {text_range!r} ends before it begins")
    return list(range(low, high + 1))


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or not 1 <= int(digits) <= 65535:
        raise ValueError(f"expected a port from 1 to 65535, found {digits!r}")
    return int(digits)
