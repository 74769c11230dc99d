"""Packets: what a bridge, VXLAN and WireGuard cost, as ratios of a bare cable (a veth pair) between the same two processes.

    sudo python benchmarks/overlay.py

All nodes are network namespaces of one kernel, so figures are processor time, not a network's; only ratios travel.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from motet.network.config import NetworkConfig
from motet.network.overlay.loop import synchronize
from motet.network.overlay.peers import Peer
from motet.network.wireguard import loop as wireguard
from motet.network.wireguard.config import WireguardConfig
from motet.network.wireguard.decide import wanted
from motet.network.wireguard.engine import choose
from motet.network.wireguard.keys import Held, Pair, generate
from motet.runtime.cgroups import Cgroups

_ROUNDS = 5
_SECONDS = 1.0
_PINGS = 3000
_CHUNK = bytes(256 * 1024)
_PORT = 9000
_CLONE_NEWNET = 0x40000000


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def inside(namespace: str, call: Callable[..., Any], *arguments: Any) -> multiprocessing.Process:
    """`call` in a process of its own in a network namespace."""

    def run() -> None:
        with open(f"/run/netns/{namespace}") as handle:
            if ctypes.CDLL(None).setns(handle.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(f"cannot enter {namespace}")
        call(*arguments)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def serve(ready: Any) -> None:
    """Two connections one after the other: swallow the first, echo the second."""
    with socket.create_server(("0.0.0.0", _PORT)) as listener:
        ready.set()
        with listener.accept()[0] as sink:
            buffer = bytearray(1 << 20)
            while sink.recv_into(buffer):
                pass
        with listener.accept()[0] as echo:
            echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := echo.recv(64):
                echo.sendall(data)


def drive(address: str, answer: Any) -> None:
    with socket.create_connection((address, _PORT)) as pump:
        sent, began = 0, time.perf_counter()
        while time.perf_counter() - began < _SECONDS:
            sent += pump.send(_CHUNK)
        rate = sent * 8 / (time.perf_counter() - began) / 1e9
    times = []
    with socket.create_connection((address, _PORT)) as ping:
        ping.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(_PINGS):
            at = time.perf_counter()
            ping.sendall(b"x")
            ping.recv(1)
            times.append(time.perf_counter() - at)
    answer.send((rate, statistics.median(times) * 1e6))


def measure(source: str, to: str, address: str) -> tuple[float, float]:
    """Gbit/s, and the median round trip in microseconds."""
    ready = multiprocessing.Event()
    server = inside(to, serve, ready)
    ready.wait()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    client = inside(source, drive, address, sender)
    found: tuple[float, float] = receiver.recv()
    client.join()
    server.join()
    return found


def node(number: int, directory: Path, pairs: dict[int, Pair]) -> None:
    """A node with a bridge and two pods; its peer is the other of nodes 1 and 2. What its second pod sends is encrypted."""
    name, other = f"mb-n{number}", 3 - number
    sh(f"ip -n {name} link add motet0 mtu 1440 type bridge; ip -n {name} addr add 10.42.{number}.1/24 dev motet0")
    sh(f"ip -n {name} link set motet0 up; ip netns exec {name} sysctl -qw net.ipv4.ip_forward=1")
    for pod in (2, 3):
        inner = f"mb-p{number}{pod}"
        sh(f"ip link add p{pod} mtu 1440 netns {name} type veth peer name eth0 mtu 1440 netns {inner}")
        sh(f"ip -n {name} link set p{pod} master motet0 up; ip -n {inner} link set eth0 up")
        sh(
            f"ip -n {inner} addr add 10.42.{number}.{pod}/24 dev eth0; ip -n {inner} route add default via 10.42.{number}.1"
        )
    config = NetworkConfig(
        node_name=name,
        pods=IPv4Network(f"10.42.{number}.0/24"),
        address=IPv4Address(f"192.0.2.{number}"),
        wireguard=WireguardConfig.below(directory / name, directory / name / "run", cgroup_root=f"/{name}"),
        cni_config=directory,
        cni_state=directory,
    )
    address, pods = IPv4Address(f"192.0.2.{other}"), IPv4Network(f"10.42.{other}.0/24")
    inside(name, synchronize, config, (Peer("other", address, pods),)).join()
    inside(name, encrypt, config, pairs[number], Peer("other", address, pods, pairs[other].public)).join()
    sh(f"ip -n {name} rule add pref 100 from 10.42.{number}.3 to 10.42.{other}.0/24 lookup 4242")


def encrypt(config: NetworkConfig, pair: Pair, peer: Peer) -> None:
    assert config.wireguard is not None
    peered = wanted((peer,), pair.public, config.wireguard.port)
    wireguard.synchronize(config, choose(config.wireguard), Held(pair, 0.0), peered, time.time())


def main() -> None:
    names = ["mb-n1", "mb-n2", "mb-p12", "mb-p13", "mb-p22", "mb-p23"]
    try:
        for name in names:
            sh(f"ip netns add {name}; ip -n {name} link set lo up")
        sh("ip link add eth0 netns mb-n1 type veth peer name eth0 netns mb-n2")
        for number in (1, 2):
            sh(f"ip -n mb-n{number} addr add 192.0.2.{number}/24 dev eth0; ip -n mb-n{number} link set eth0 up")
        with tempfile.TemporaryDirectory() as directory:
            pairs = {number: generate() for number in (1, 2)}
            for number in (1, 2):
                node(number, Path(directory), pairs)
            paths = {
                "bare veth": ("mb-n1", "mb-n2", "192.0.2.2"),
                "same node": ("mb-p12", "mb-p13", "10.42.1.3"),
                "VXLAN": ("mb-p12", "mb-p22", "10.42.2.2"),
                "WireGuard": ("mb-p13", "mb-p23", "10.42.2.3"),
            }
            rounds = [{name: measure(*path) for name, path in paths.items()} for _ in range(_ROUNDS)]
            for name in paths:
                rate = statistics.median(each[name][0] for each in rounds)
                trip = statistics.median(each[name][1] for each in rounds)
                rates = statistics.median(each[name][0] / each["bare veth"][0] for each in rounds)
                trips = statistics.median(each[name][1] / each["bare veth"][1] for each in rounds)
                print(
                    f"{name:10} {rate:6.1f} Gbit/s ({rates:.2f} of bare)   {trip:6.1f} us round trip ({trips:.2f} of bare)"
                )
    finally:
        for group in ("/mb-n1", "/mb-n2"):
            asyncio.run(Cgroups().remove(group))
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


if __name__ == "__main__":
    main()
