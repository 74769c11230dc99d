"""Which client is bound to which endpoint: kept by the kernel in the map `sticky`, read and corrected here as nft prints it.

0x1f500003 . 10.42.0.9 timeout 3h expires 2h59m54s968ms : 10.42.0.7 . 8080
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from motet.network.proxy.desired import Frontend
from motet.network.proxy.nft import Nft, NftError
from motet.network.proxy.ruleset import Choice, Ruleset

_BOUND = re.compile(
    r"(0x[0-9a-f]+) \. ([\d.]+) timeout (\w+)(?: expires (\w+))? : ([\d.]+) \. (\d+)",
)
_VIRTUAL = re.compile(r"([\d.]+) \. (\w+) \. (\w+) : (0x[0-9a-f]+)")
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


def read(nft: Nft, table: str) -> list[Bound]:
    """What an earlier process's rules remember; nothing when there are none."""
    try:
        kept = nft.run(f"list map ip {table} sticky")
        if "elements" not in kept:
            return []
        frontends: dict[int, Frontend] = {}
        for name, inside in (("virtual", False), ("virtual_inside", True)):
            for match in _VIRTUAL.finditer(nft.run(f"list map ip {table} {name}")):
                frontends[int(match[4], 16)] = Frontend(match[1], match[2], int(match[3]), inside)
        for name, inside in (("local", False), ("local_inside", True)):
            for match in _LOCAL.finditer(nft.run(f"list map ip {table} {name}")):
                frontends[int(match[3], 16)] = Frontend("", match[1], int(match[2]), inside)
    except (NftError, ValueError):
        return []
    return [
        Bound(frontend, match[2], match[5], int(match[6]), round(seconds(match[4] or match[3])))
        for match in _BOUND.finditer(kept)
        if (frontend := frontends.get(int(match[1], 16))) is not None
    ]


def write(table: str, bound: list[Bound], ruleset: Ruleset) -> Iterator[str]:
    """The commands that bind these clients again, as far as their endpoints still exist."""
    elements = []
    for each in bound:
        backends = ruleset.get(each.frontend)
        if backends and backends.sticky and (each.address, each.port) in backends.endpoints and each.left > 0:
            left = min(each.left, backends.sticky)
            number = ruleset.number(each.frontend)
            elements.append(f"{number} . {each.client} timeout {left}s : {each.address} . {each.port}")
    for start in range(0, len(elements), _CHUNK):
        yield f"add element ip {table} sticky {{ {', '.join(elements[start : start + _CHUNK])} }}"


def forget(table: str, listing: str, gone: set[Choice]) -> str:
    """The commands that let go of clients bound to a choice that is gone; empty when there are none.

    Adding before deleting makes one that expires in between no error.
    """
    keys = [
        f"{match[1]} . {match[2]}"
        for match in _BOUND.finditer(listing)
        if (int(match[1], 16), match[5], int(match[6])) in gone
    ]
    return "\n".join(
        f"delete element ip {table} sticky {{ {', '.join(keys[start : start + _CHUNK])} }}"
        for start in range(0, len(keys), _CHUNK)
    )


def seconds(span: str) -> float:
    """Seconds of a span as nft prints it, `2h59m54s968ms`."""
    return sum(int(number) * _SECONDS[unit] for number, unit in _SPAN.findall(span))
