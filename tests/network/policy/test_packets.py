"""Random policies and Networks in a real kernel, asked with real packets: what gets through a router is what the specification lets through."""

from __future__ import annotations

import itertools
import select
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from motet.network.config import NetworkConfig
from motet.network.policy.compile import compile_policies
from motet.network.policy.networks import Ground, separate
from motet.network.policy.ruleset import Ruleset, base, remove
from motet.network.policy.views import Pod, PolicyView, policy_of
from motet.network.proxy.nft import Nft
from support.netns import NetworkNamespace

from . import oracle
from .strategies import GATEWAYS, NAMESPACES, NETWORKS, OUTSIDE, PORTS, Json, pods, policies

pytestmark = pytest.mark.node

CONFIG = NetworkConfig(
    node_name="n1", pods=IPv4Network("10.42.0.0/24"), cni_config=Path("/nowhere"), cni_state=Path("/nowhere")
)
TCP, UDP, ICMP, SCTP = 6, 17, 1, 132
_ETHERNET_IP = 0x0800
_sources = itertools.cycle(range(20000, 60000))


class Router:
    """A namespace that forwards whatever comes in by one cable out of the other, and both far ends."""

    def __init__(self, router: NetworkNamespace, world: NetworkNamespace) -> None:
        self._router, self._world = router, world
        for cable, inner in (("in", "192.0.2.1/31"), ("out", "192.0.2.3/31")):
            subprocess.run(
                [
                    *("ip", "link", "add", f"{cable}0", "netns", router.name),
                    *("type", "veth", "peer", "name", f"{cable}1", "netns", world.name),
                ],
                check=True,
            )
            router.ip(f"addr add {inner} dev {cable}0")
            router.ip(f"link set {cable}0 up")
            world.ip(f"link set {cable}1 up")
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0")
        router.run("sysctl", "-qw", "net.ipv4.conf.in0.rp_filter=0")
        router.ip("neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev out0 nud permanent")
        router.ip("route replace default via 192.0.2.2 dev out0 onlink")
        words = router.ip("-br link show in0").split()
        self._mac = bytes.fromhex(words[2].replace(":", ""))
        self._into = world.inside(lambda: _packet_socket("in1"))
        self._from = world.inside(lambda: _packet_socket("out1"))

    def close(self) -> None:
        self._into.close()
        self._from.close()

    def run(self, commands: str) -> None:
        self._router.inside(lambda: Nft().run(commands))

    def through(self, packets: list[bytes]) -> set[int]:
        """The positions of those packets that come out. A last one that nothing forbids says that all have been seen."""
        self._drain()
        last = _packet("198.51.100.8", "198.51.100.9", UDP, 9, len(packets))
        for packet in (*packets, last):
            self._into.send(self._mac + b"\x02\x00\x00\x00\x00\x01" + struct.pack("!H", _ETHERNET_IP) + packet)
        found: set[int] = set()
        while len(packets) not in found:
            assert select.select([self._from], [], [], 5)[0], "the last packet does not come"
            found.add(struct.unpack_from("!H", self._from.recv(2048), 14 + 4)[0])
        return found - {len(packets)}

    def _drain(self) -> None:
        while select.select([self._from], [], [], 0)[0]:
            self._from.recv(2048)


def _packet_socket(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERNET_IP))
    made.bind((interface, _ETHERNET_IP))
    return made


def _packet(source: str, to: str, protocol: int, port: int, number: int) -> bytes:
    """The first packet of a connection, with `number` as its IP identification."""
    own = next(_sources)
    match protocol:
        case 6:
            body = struct.pack("!HHIIBBHHH", own, port, 1, 0, 0x50, 0x02, 1024, 0, 0)
        case 17:
            body = struct.pack("!HHHH", own, port, 8, 0)
        case 132:
            body = struct.pack("!HHII", own, port, 0, 0) + b"\x01\x00\x00\x14" + bytes(16)
        case _:
            body = _summed(struct.pack("!BBHHH", 8, 0, 0, own, 1), 2)
    ends = socket.inet_aton(source) + socket.inet_aton(to)
    return _summed(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, 0, 64, protocol, 0) + ends, 10) + body


def _summed(data: bytes, at: int) -> bytes:
    """With the Internet checksum (RFC 1071) put at a position that holds 0."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + struct.pack("!H", ~total & 0xFFFF) + data[at + 2 :]


@pytest.fixture(scope="module")
def router() -> Iterator[Router]:
    with NetworkNamespace() as inner, NetworkNamespace() as outer:
        made = Router(inner, outer)
        yield made
        made.run(remove(CONFIG))
        made.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=pods(), specs=policies)
def test_packets_go_where_the_specification_lets_them(
    router: Router, world: list[Pod], specs: list[tuple[str, Json]]
) -> None:
    read = [policy_of(namespace, msgspec.convert({"spec": spec}, PolicyView)) for namespace, spec in specs]
    separated = separate(world, NETWORKS, Ground(CONFIG.all_pods, CONFIG.services, GATEWAYS))
    router.run(base(CONFIG) + Ruleset(CONFIG).change(compile_policies(read, world, NAMESPACES), separated))
    by_address = {pod.address: pod for pod in world}
    asked = [
        (source, to, protocol, port)
        for source in (*list(by_address)[:3], OUTSIDE[0])
        for to in (*list(by_address)[-3:], OUTSIDE[1])
        for protocol, port in ((TCP, PORTS[1]), (TCP, PORTS[4]), (UDP, PORTS[2]), (SCTP, PORTS[1]), (ICMP, 0))
    ]
    passed = router.through([_packet(*each, number) for number, each in enumerate(asked)])
    for number, (source, to, protocol, port) in enumerate(asked):
        out, into = by_address.get(source), by_address.get(to)
        # Nothing here was published, so whoever is outside must not get at a pod on a Network by its address.
        direct = source == OUTSIDE[0] and into is not None and bool(into.networks)
        wanted = source == to or all(
            pod is None
            or not pod.local
            or (
                oracle.may(way, pod, other, protocol, port, specs, world, NAMESPACES)
                and oracle.may_on_networks(way, pod, other, world, NETWORKS, GATEWAYS)
            )
            for way, pod, other in (("egress", out, to), ("ingress", into, source))
        )
        wanted = wanted and not direct
        assert (number in passed) == wanted, (source, to, protocol, port)


def test_what_comes_back_is_never_asked_again(router: Router) -> None:
    pod = Pod("10.42.0.2", "a", {}, local=True)
    peer = replace(pod, address="10.42.1.2", local=False)
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"protocol": "UDP"}]}]}
    read = [policy_of("a", msgspec.convert({"spec": spec}, PolicyView))]
    router.run(base(CONFIG) + Ruleset(CONFIG).change(compile_policies(read, [pod, peer], NAMESPACES)))
    question = _packet(pod.address, peer.address, UDP, 53, 0)
    port = struct.unpack_from("!H", question, 20)[0]
    answer = _packet(peer.address, pod.address, UDP, port, 1)
    answer = answer[:20] + struct.pack("!H", 53) + answer[22:]
    stranger = _packet(peer.address, pod.address, UDP, port, 2)
    assert router.through([question, answer, stranger]) == {0, 1}
