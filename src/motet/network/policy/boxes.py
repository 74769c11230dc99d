"""Sets of (address, protocol, port) as disjoint boxes: what an interval set of nftables can hold. Pure.

The kernel refuses elements that overlap, while policies overlap as they like. So for each stretch of addresses over which
nothing changes, what is allowed there is put together, and neighbouring stretches with the same outcome become one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from motet.base.ip import Network

LAST_PORT = 65535
ANY_PROTOCOL = (0, 255)


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """All ends included. Addresses as numbers; `protocols` is (0, 255) for all of them, else one number twice."""

    addresses: tuple[int, int]
    protocols: tuple[int, int] = ANY_PROTOCOL
    ports: tuple[int, int] = (0, LAST_PORT)

    def holds(self, address: int, protocol: int, port: int) -> bool:
        return (
            self.addresses[0] <= address <= self.addresses[1]
            and self.protocols[0] <= protocol <= self.protocols[1]
            and self.ports[0] <= port <= self.ports[1]
        )

    def text(self, version: int = 4) -> str:
        """`10.0.0.0-10.0.0.255 . 6 . 80`, an nftables element without its key's first part, for one version of IP."""
        kind = IPv4Address if version == 4 else IPv6Address
        first, last = (str(kind(number)) for number in self.addresses)
        return f"{_range(first, last)} . {_range(*map(str, self.protocols))} . {_range(*map(str, self.ports))}"


def spans(network: Network, excepted: Iterable[Network]) -> list[tuple[int, int]]:
    """The addresses of a network without those of others of its family, as ranges in order."""
    low, high = int(network.network_address), int(network.broadcast_address)
    found = []
    for hole in sorted(excepted, key=lambda each: (int(each.network_address), -each.num_addresses)):
        first, last = int(hole.network_address), int(hole.broadcast_address)
        if last < low or first > high:
            continue
        if first > low:
            found.append((low, first - 1))
        low = max(low, last + 1)
    if low <= high:
        found.append((low, high))
    return found


def disjoint(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Boxes that hold what the given ones hold, no two of which overlap; the same for the same content, in order."""
    given = sorted(set(boxes))
    edges = sorted({edge for box in given for edge in (box.addresses[0], box.addresses[1] + 1)})
    stretches: list[tuple[int, int, frozenset[tuple[tuple[int, int], tuple[int, int]]]]] = []
    active: list[Box] = []
    at = 0
    for low, after in itertools.pairwise(edges):
        while at < len(given) and given[at].addresses[0] <= low:
            active.append(given[at])
            at += 1
        active = [box for box in active if box.addresses[1] >= low]
        allowed = _allowed(active)
        if not allowed:
            continue
        if stretches and stretches[-1][1] + 1 == low and stretches[-1][2] == allowed:
            stretches[-1] = (stretches[-1][0], after - 1, allowed)
        else:
            stretches.append((low, after - 1, allowed))
    return tuple(Box((low, high), *part) for low, high, allowed in stretches for part in sorted(allowed))


def _allowed(boxes: Iterable[Box]) -> frozenset[tuple[tuple[int, int], tuple[int, int]]]:
    """(protocols, ports) allowed by any of `boxes` at one address, disjoint."""
    by_protocol: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for box in boxes:
        by_protocol.setdefault(box.protocols, []).append(box.ports)
    if ANY_PROTOCOL in by_protocol:
        # A rule without protocol has no ports either: it allows everything.
        return frozenset({(ANY_PROTOCOL, (0, LAST_PORT))})
    return frozenset((protocol, ports) for protocol, ranges in by_protocol.items() for ports in _merged(ranges))


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first}-{last}"
