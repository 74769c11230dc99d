"""The kernel's own WireGuard cannot be tried where there is none; what is sent to it and read from it can."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from pyroute2.netlink.generic.wireguard import AsyncWireGuard, wgmsg

from motet.network.wireguard import inkernel, keys
from motet.network.wireguard.decide import Configuration, Remote, Session

PEER = Remote(keys.text(bytes(range(32))), (IPv4Address("192.0.2.2"), 51842), (IPv4Network("10.42.2.0/24"),))


def through_the_wire(peer: dict[str, Any], *more: tuple[str, Any]) -> wgmsg:
    """A message as pyroute2 puts it into bytes and reads it again."""
    made = wgmsg()
    made["attrs"] = [list(pair) for pair in more]
    AsyncWireGuard.__new__(AsyncWireGuard)._wg_set_peer(made, peer)
    made.encode()
    read = wgmsg(made.data)
    read.decode()
    return read


def test_what_the_kernel_is_told_of_a_peer_reads_as_that_peer() -> None:
    told = through_the_wire(
        inkernel.learning(PEER), ("WGDEVICE_A_PUBLIC_KEY", keys.text(b"\x07" * 32)), ("WGDEVICE_A_LISTEN_PORT", 51842)
    )
    assert inkernel.configuration([told]) == Configuration(keys.text(b"\x07" * 32), 51842, (Session(PEER, 0.0),))


def test_a_peers_addresses_are_replaced_and_not_added_to() -> None:
    (peer,) = through_the_wire(inkernel.learning(PEER)).get_attr("WGDEVICE_A_PEERS")
    assert peer.get_attr("WGPEER_A_FLAGS") == 2  # WGPEER_F_REPLACE_ALLOWEDIPS


def test_a_peer_to_be_forgotten_is_marked_so() -> None:
    (peer,) = through_the_wire(inkernel.forgetting(PEER.key)).get_attr("WGDEVICE_A_PEERS")
    assert peer.get_attr("WGPEER_A_FLAGS") == 1  # WGPEER_F_REMOVE_ME


def test_a_peer_spread_over_several_messages_is_one() -> None:
    more = Remote(PEER.key, PEER.endpoint, (IPv4Network("10.42.3.0/24"),))
    told = [through_the_wire(inkernel.learning(each)) for each in (PEER, more)]
    (session,) = inkernel.configuration(told).sessions
    assert session.remote.allowed == (*PEER.allowed, *more.allowed)


@pytest.mark.node
def test_asking_for_the_kernels_wireguard_is_answered_either_way() -> None:
    assert inkernel.available() in (True, False)
