"""Ports that `docker run` publishes on its machine. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from motet.dialects.docker.errors import bad, unsupported
from motet.dialects.docker.fields import Fields

Json = dict[str, Any]

_PORTS = range(1, 65536)


def fixed(host: Fields) -> Iterator[Json]:
    """Published ports whose number is named. Raises DockerError."""
    for port, address, number_there in published(host):
        if number_there:
            number, protocol = port
            found: Json = {"containerPort": number, "hostPort": number_there, "protocol": protocol.upper()}
            yield {**found, **({"hostIP": address} if address not in ("", "0.0.0.0") else {})}


def published(host: Fields) -> Iterator[tuple[tuple[int, str], str, int]]:
    """((port, protocol), address, port of the machine or 0 for any) of everything in `PortBindings`. Raises DockerError."""
    bindings = host.fields("PortBindings")
    for key in bindings.items:
        text, _, protocol = key.partition("/")
        if not text.isdigit() or int(text) not in _PORTS or protocol not in ("", "tcp", "udp", "sctp"):
            raise bad(f"{bindings.path}: invalid port specification: {key!r}")
        for binding in bindings.each(key) or [Fields({}, bindings.at(key))]:
            there = binding.text("HostPort")
            address = binding.text("HostIp")
            binding.finish()
            if there and (not there.isdigit() or int(there) > 65535):
                raise unsupported(f"{binding.path}.HostPort", f"{there!r}: a number, or nothing for any")
            yield (int(text), protocol or "tcp"), address, int(there or 0)
