"""What the kernel says is told on when it may concern what is repaired, and not for every pod that comes or goes."""

from __future__ import annotations

import struct

import pytest

from motet.network.kernelwatch import Watch

NEW_LINK, DELETED_LINK, NEW_ADDRESS, DELETED_ROUTE, DELETED_NEIGHBOUR = 16, 17, 20, 25, 29


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + bytes(-len(body) % 4)


def link(kind: int, name: str, index: int) -> bytes:
    """With an attribute before the name, as the kernel may send them."""
    attributes = struct.pack("=HHI", 8, 13, 1000)
    named = name.encode() + bytes(1)
    attributes += struct.pack("=HH", 4 + len(named), 3) + named + bytes(-len(named) % 4)
    return message(kind, struct.pack("=BxHiII", 0, 1, index, 0, 0) + attributes)


def neighbour(index: int) -> bytes:
    return message(DELETED_NEIGHBOUR, struct.pack("=BxxxiHBB", 7, index, 0, 0, 0))


def test_other_links_tell() -> None:
    for name in ("motet0", "motet-vx", "eth0", "veth", "vethernet0"):
        assert Watch().tells(link(NEW_LINK, name, 3))
        assert Watch().tells(link(DELETED_LINK, name, 3))


def test_a_pod_that_comes_and_goes_tells_nothing() -> None:
    watch = Watch()
    assert not watch.tells(link(NEW_LINK, "veth0a1b2c3d", 7) + link(NEW_LINK, "veth0a1b2c3d", 7))
    assert not watch.tells(neighbour(7) + link(DELETED_LINK, "veth0a1b2c3d", 7))


def test_a_neighbour_of_another_link_tells() -> None:
    watch = Watch()
    watch.tells(link(NEW_LINK, "veth0a1b2c3d", 7))
    assert watch.tells(neighbour(8))
    watch.tells(link(DELETED_LINK, "veth0a1b2c3d", 7))
    assert watch.tells(neighbour(7))


def test_what_concerns_us_is_found_among_what_does_not() -> None:
    route = message(DELETED_ROUTE, bytes(12))
    assert Watch().tells(link(NEW_LINK, "veth0a1b2c3d", 7) + route + message(NEW_ADDRESS, bytes(8)))
    assert not Watch().tells(message(NEW_ADDRESS, bytes(8)))


@pytest.mark.parametrize("cut", range(1, 60))
def test_what_is_cut_off_harms_nobody(cut: int) -> None:
    Watch().tells(link(NEW_LINK, "veth0a1b2c3d", 7)[:cut])
