"""Which client is bound to which endpoint: kept by the kernel in the map `sticky`, read and corrected here as nft prints it.

0x1f500003 . 10.42.0.9 timeout 3h expires 2h59m54s968ms : 10.42.0.7 . 8080

Of IPv6 the client is a hash of its address, and the port is in a map of its own, `sticky_port`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from motet.network.config import NetworkConfig
from motet.network.proxy.desired import Frontend
from motet.network.proxy.nft import Nft, NftError
from motet.network.proxy.ruleset import Choice, Ruleset

_ADDRESS = r"[\da-f.:]*[\da-f]"
_BOUND = re.compile(
    rf"(0x[0-9a-f]+) \. ({_ADDRESS}) timeout (\w+)(?: expires (\w+))? : ({_ADDRESS})(?: \. (\d+))?(?=[,\s]|$)",
)
_PORT = re.compile(rf"(0x[0-9a-f]+) \. ({_ADDRESS}) timeout \w+(?: expires \w+)? : (\d+)(?=[,\s]|$)")
_VIRTUAL = re.compile(rf"({_ADDRESS}) \. (\w+) \. (\w+) : (0x[0-9a-f]+)")
_LOCAL = re.compile(r"(?<!\. )\b([a-z]+) \. (\w+) : (0x[0-9a-f]+)")
_SPAN = re.compile(r"(\d+)(ms|d|h|m|s)")
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Bound:
    """One client of one frontend. `left` is in whole seconds."""

    frontend: Frontend
    client: str
    address: str
    port: int
    left: int


# A frontend's number, a client, its endpoint's address and port, and for how many seconds more.
Kept = tuple[int, str, str, int, float]


def listed(nft: Nft, config: NetworkConfig) -> list[Kept]:
    """What the kernel remembers. Raises NftError."""
    where = f"{config.family} {config.table}"
    kept = nft.run(f"list map {where} sticky")
    if "elements" not in kept:
        return []
    return parse(kept, nft.run(f"list map {where} sticky_port") if config.version == 6 else "")


def parse(listing: str, ports: str = "") -> list[Kept]:
    """From the map `sticky` as nft lists it and, of IPv6, from `sticky_port`."""
    by_client = {(match[1], match[2]): match[3] for match in _PORT.finditer(ports)}
    return [
        (int(match[1], 16), match[2], match[5], int(port), seconds(match[4] or match[3]))
        for match in _BOUND.finditer(listing)
        if (port := match[6] or by_client.get((match[1], match[2]), ""))
    ]


def read(nft: Nft, config: NetworkConfig) -> list[Bound]:
    """What an earlier process's rules remember; nothing when there are none."""
    where = f"{config.family} {config.table}"
    try:
        kept = listed(nft, config)
        if not kept:
            return []
        frontends: dict[int, Frontend] = {}
        for name, inside in (("virtual", False), ("virtual_inside", True)):
            for match in _VIRTUAL.finditer(nft.run(f"list map {where} {name}")):
                frontends[int(match[4], 16)] = Frontend(match[1], match[2], int(match[3]), inside)
        for name, inside in (("local", False), ("local_inside", True)):
            for match in _LOCAL.finditer(nft.run(f"list map {where} {name}")):
                frontends[int(match[3], 16)] = Frontend("", match[1], int(match[2]), inside)
    except (NftError, ValueError):
        return []
    return [
        Bound(frontend, client, address, port, round(left))
        for number, client, address, port, left in kept
        if (frontend := frontends.get(number)) is not None
    ]


def write(config: NetworkConfig, bound: list[Bound], ruleset: Ruleset) -> Iterator[str]:
    """The commands that bind these clients again, as far as their endpoints still exist."""
    elements: dict[str, list[str]] = {name: [] for name in _maps(config)}
    for each in bound:
        backends = ruleset.get(each.frontend)
        if backends and backends.sticky and (each.address, each.port) in backends.endpoints and each.left > 0:
            left = min(each.left, backends.sticky)
            key = f"{ruleset.number(each.frontend)} . {each.client} timeout {left}s"
            if config.version == 4:
                elements["sticky"].append(f"{key} : {each.address} . {each.port}")
            else:
                elements["sticky"].append(f"{key} : {each.address}")
                elements["sticky_port"].append(f"{key} : {each.port}")
    for name, lines in elements.items():
        yield from _commands("add", config, name, lines)


def forget(config: NetworkConfig, kept: list[Kept], gone: set[Choice]) -> str:
    """The commands that let go of clients bound to a choice that is gone; empty when there are none. `kept` is `listed`."""
    keys = [f"{number} . {client}" for number, client, address, port, _ in kept if (number, address, port) in gone]
    return "\n".join(command for name in _maps(config) for command in _commands("delete", config, name, keys))


def _maps(config: NetworkConfig) -> tuple[str, ...]:
    return ("sticky",) if config.version == 4 else ("sticky", "sticky_port")


def _commands(verb: str, config: NetworkConfig, name: str, lines: list[str]) -> Iterator[str]:
    for start in range(0, len(lines), _CHUNK):
        listing = ", ".join(lines[start : start + _CHUNK])
        yield f"{verb} element {config.family} {config.table} {name} {{ {listing} }}"


def seconds(span: str) -> float:
    """Seconds of a span as nft prints it, `2h59m54s968ms`."""
    return sum(int(number) * _SECONDS[unit] for number, unit in _SPAN.findall(span))
