"""What VXLAN takes from whom, where everything is encrypted. The same packets get through where nothing is."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from tests.network.lab import Lab, config, inside, labs, node_document

from motet.network.overlay.peers import mac_of
from motet.network.proxy import sparing
from motet.network.wireguard.config import WireguardConfig
from support.capture import tap

pytestmark = pytest.mark.node
WORD = b"said by a liar"


@pytest.fixture(params=[False, True], ids=["in clear", "encrypted"])
def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Lab]]:
    """Three, whose second has a pod."""
    with labs(tmp_path, 3, encrypted=request.param) as made:
        made[1].serve(2, 80)
        known = {each.config.node_name: node_document(each) for each in made}
        for each in made:
            each.program({}, known)
        yield made


def arrives(nodes: list[Lab], send: Callable[[], None]) -> bool:
    """Whether the pod of the second node sees what is sent three times."""
    with tap(nodes[1].namespace(2), "eth0") as seen:
        for _ in range(3):
            send()
            time.sleep(0.05)
        return seen.shows(WORD)


def packet(source: str, to: IPv4Address) -> bytes:
    """A datagram with its IP header; the kernel fills in the rest when it is sent raw."""
    body = struct.pack("!HHHH", 1, 80, 8 + len(WORD), 0) + WORD
    ends = socket.inet_aton(source) + to.packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, socket.IPPROTO_UDP, 0) + ends
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + body


def test_what_was_not_encrypted_is_not_taken_for_a_nodes(nodes: list[Lab]) -> None:
    first, second, _ = nodes
    inner = b"".join(
        (
            *(bytes.fromhex(mac_of(each.config.pods).replace(":", "")) for each in (second, first)),
            b"\x08\x00",
            packet("198.51.100.9", second.config.pods[2]),
        )
    )
    frame = b"\x08\0\0\0" + struct.pack("!I", second.config.vni << 8) + inner

    def send() -> None:
        with inside(first.outside), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(frame, (second.address, second.config.vxlan_port))

    assert arrives(nodes, send) is not second.config.encrypted


def through_vxlan(nodes: list[Lab], source: str) -> Callable[[], None]:
    """Sends from the first node to the pod of the second, under any address."""
    first, second, _ = nodes
    to = second.config.pods[2]

    def send() -> None:
        with inside(first.name), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, first.config.overlay.encode())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x0800_0000)
            sock.sendto(packet(source, to), (str(to), 0))

    return send


def test_a_node_does_not_begin_anything_under_the_address_of_anothers_pod(nodes: list[Lab]) -> None:
    pod_of_third = str(nodes[2].config.pods[9])
    assert arrives(nodes, through_vxlan(nodes, pod_of_third)) is not nodes[1].config.encrypted


def test_a_client_that_came_to_a_node_is_let_through(nodes: list[Lab]) -> None:
    assert arrives(nodes, through_vxlan(nodes, "198.51.100.9"))


def test_nothing_is_added_where_nothing_is_encrypted(tmp_path: Path) -> None:
    plain = config(tmp_path, wireguard=WireguardConfig.below(tmp_path, tmp_path, cgroup_root="/x"))
    assert sparing.chains(plain) == ""
    assert "0x8000000" in sparing.chains(replace(plain, encrypted=True))
