"""Two nodes in network namespaces with a cable between them, and a real WireGuard on each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from motet.base import processes
from motet.network.config import NetworkConfig
from motet.network.overlay.peers import Peer
from motet.network.wireguard import decide, kernel, keys
from motet.network.wireguard.config import WireguardConfig
from motet.network.wireguard.decide import Observed
from motet.network.wireguard.keys import Held, Pair
from motet.network.wireguard.loop import synchronize, tunnel
from motet.network.wireguard.userspace import Userspace
from motet.runtime.cgroups import Cgroups
from support.netns import NetworkNamespace


@dataclass
class Node:
    """Number 1 or 2. Its only "pod" is the bridge's own address, `10.42.N.1`."""

    number: int
    space: NetworkNamespace
    config: NetworkConfig
    pair: Pair
    engine: Userspace

    @property
    def wireguard(self) -> WireguardConfig:
        assert self.config.wireguard is not None
        return self.config.wireguard

    @property
    def peer(self) -> Peer:
        address = IPv4Address(f"192.0.2.{self.number}")
        return Peer(f"n{self.number}", address, self.config.pods, self.pair.public)

    def synchronize(self, *peers: Peer) -> int:
        """As the loop does it; returns the number of steps."""
        held = Held(self.pair, 0.0)
        peered = decide.wanted(peers, self.pair.public, self.wireguard.port)
        return self.space.inside(lambda: synchronize(self.config, self.engine, held, peered, time.time()))[0]

    def kill(self) -> int:
        """Kill its WireGuard and wait until the device is gone too; the process it was."""
        process = processes.server_of(self.wireguard.socket)
        os.kill(process, signal.SIGKILL)
        while processes.alive(process):
            time.sleep(0.005)
        return process

    def observe(self) -> Observed:
        there = tunnel(self.config, self.wireguard, self.pair.public)
        return self.space.inside(lambda: kernel.observe(there, self.engine))


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[tuple[Node, Node]]:
    with NetworkNamespace() as one, NetworkNamespace() as two, contextlib.ExitStack() as stack:
        one.ip(f"link add eth0 type veth peer name eth0 netns {two.name}")
        yield stack.enter_context(_node(1, one, folder)), stack.enter_context(_node(2, two, folder))


@contextlib.contextmanager
def _node(number: int, space: NetworkNamespace, folder: Path) -> Iterator[Node]:
    for words in (
        "link add motet0 type bridge",
        f"addr add 10.42.{number}.1/24 dev motet0",
        "link set motet0 up",
        f"addr add 192.0.2.{number}/24 dev eth0",
        "link set eth0 up",
    ):
        space.ip(words)
    wireguard = WireguardConfig(keys=folder / f"{number}", run=folder / f"run{number}", cgroup=f"/{space.name}/system")
    config = NetworkConfig(
        node_name=f"n{number}",
        pods=IPv4Network(f"10.42.{number}.0/24"),
        address=IPv4Address(f"192.0.2.{number}"),
        encrypted=True,
        wireguard=wireguard,
        cni_config=folder,
        cni_state=folder,
    )
    node = Node(number, space, config, keys.generate(), Userspace(wireguard))
    try:
        yield node
    finally:
        space.inside(node.engine.remove)
        asyncio.run(Cgroups().remove(f"/{space.name}"))


def pod(node: Node, address: str = "") -> socket.socket:
    """A UDP socket on the node's pod address, or another of the node's."""
    return node.space.inside(lambda: _bound(address or f"10.42.{node.number}.1"))


def _bound(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 7777))
    made.settimeout(0.2)
    return made


def heard(sender: socket.socket, receiver: socket.socket, seconds: float = 5.0) -> float:
    """Seconds until something that one node's pod sends again and again arrives at the other's. Raises TimeoutError."""
    began = time.monotonic()
    token = f"{began}".encode()
    while time.monotonic() - began < seconds:
        with contextlib.suppress(OSError):
            sender.sendto(token, receiver.getsockname())
        with contextlib.suppress(TimeoutError):
            while receiver.recv(100) != token:
                pass
            return time.monotonic() - began
    raise TimeoutError(f"not heard within {seconds} s")
