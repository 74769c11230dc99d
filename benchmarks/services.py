"""Services: what a service's address costs beside the pod's own, as ratios within one run, with 1,000 others loaded.

    sudo python benchmarks/services.py

All nodes are network namespaces of one kernel, so figures are processor time, not a network's; only ratios travel.
"""

from __future__ import annotations

import socket
import statistics
import struct
import subprocess
import tempfile
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from overlay import inside, measure, node, sh

from motet.network.config import NetworkConfig
from motet.network.proxy.desired import Backends, Frontend, Routes
from motet.network.proxy.nft import Nft
from motet.network.proxy.ruleset import Ruleset, base

_ROUNDS = 5
_CONNECTIONS = 2000
_PORT = 9000
_NODE, _CLIENT = "198.51.100.1", "198.51.100.9"
_NAMES = ("mb-n1", "mb-n2", "mb-p12", "mb-p13", "mb-p22", "mb-p23", "mb-out")
# What is asked, from where, and what is asked instead for comparison.
_NEAR, _FAR = "10.42.1.3", "10.42.2.2"
_PATHS = {
    "pod to pod, same node": ("mb-p12", "mb-p13", _NEAR, "10.43.9.1"),
    "pod to pod, another node": ("mb-p12", "mb-p22", _FAR, "10.43.9.2"),
    "outside to pod, same node": ("mb-out", "mb-p13", _NEAR, "10.43.9.1"),
    "outside to pod, another node": ("mb-out", "mb-p22", _FAR, "10.43.9.2"),
}


def routes() -> Routes:
    """1,000 services with 10 endpoints each, and two that are measured."""
    made = {
        Frontend(f"10.43.{number // 250}.{number % 250 + 1}", "tcp", 80): Backends(
            tuple((f"10.42.{3 + number % 200}.{endpoint + 2}", 80) for endpoint in range(10))
        )
        for number in range(1000)
    }
    for vip, pod in (("10.43.9.1", _NEAR), ("10.43.9.2", _FAR)):
        made[Frontend(vip, "tcp", _PORT)] = Backends(((pod, _PORT),))
    return made


def program(number: int, directory: Path) -> None:
    """The rules of a node; each keeps the address of clients that come to it for pods of the other."""
    config = NetworkConfig(
        node_name=f"mb-n{number}",
        pods=IPv4Network(f"10.42.{number}.0/24"),
        address=IPv4Address(f"192.0.2.{number}"),
        cni_config=directory,
        cni_state=directory,
    )
    other = 3 - number
    zone = str(1 + other)
    ways = {
        "keeping": {f"10.42.{other}.0/24": ""},
        "through": {f"0a:6d:0a:2a:{other:02x}:00": zone},
        "back": {zone: f"10.42.{other}.0"},
    }
    ruleset = Ruleset(config)
    Nft().run("\n".join((base(config), ruleset.connect(ways), ruleset.change((), routes()))))


def accept(ready: Any) -> None:
    with socket.create_server(("0.0.0.0", _PORT), backlog=128) as listener:
        ready.set()
        for _ in range(_CONNECTIONS):
            listener.accept()[0].close()


def connect(address: str, answer: Any) -> None:
    times = []
    for _ in range(_CONNECTIONS):
        with socket.socket() as made:
            # No waiting connections: the next is measured on a clean table.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            at = time.perf_counter()
            made.connect((address, _PORT))
            times.append(time.perf_counter() - at)
    answer.send(statistics.median(times) * 1e6)


def latency(source: str, to: str, address: str) -> float:
    """The median time of a connect, in microseconds."""
    import multiprocessing

    ready = multiprocessing.Event()
    server = inside(to, accept, ready)
    ready.wait()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    client = inside(source, connect, address, sender)
    found: float = receiver.recv()
    client.join()
    server.join()
    return found


def build(directory: Path) -> None:
    for name in _NAMES:
        sh(f"ip netns add {name}; ip -n {name} link set lo up")
    sh("ip link add eth0 netns mb-n1 type veth peer name eth0 netns mb-n2")
    for number in (1, 2):
        sh(f"ip -n mb-n{number} addr add 192.0.2.{number}/24 dev eth0; ip -n mb-n{number} link set eth0 up")
        node(number, directory)
        inside(f"mb-n{number}", program, number, directory).join()
    sh("ip link add eth1 netns mb-n1 type veth peer name eth0 netns mb-out")
    for name, device, address in (("mb-n1", "eth1", _NODE), ("mb-out", "eth0", _CLIENT)):
        sh(f"ip -n {name} addr add {address}/24 dev {device}; ip -n {name} link set {device} up")
    sh(f"ip -n mb-out route add default via {_NODE}")
    # Direct packets from outside find back as they came: the other node sends them through the first.
    sh(f"ip -n mb-n2 route add {_CLIENT} via 10.42.1.0 dev motet-overlay onlink")


def main() -> None:
    try:
        with tempfile.TemporaryDirectory() as directory:
            build(Path(directory))
        for name, (source, to, pod, vip) in _PATHS.items():
            rounds = []
            for _ in range(_ROUNDS):
                rates = [measure(source, to, address)[0] for address in (pod, vip)]
                times = [latency(source, to, address) for address in (pod, vip)]
                rounds.append((*rates, *times))
            rate = statistics.median(vip / pod for pod, vip, _, _ in rounds)
            trip = statistics.median(vip / pod for _, _, pod, vip in rounds)
            shown = [statistics.median(column) for column in zip(*rounds, strict=True)]
            print(
                f"{name:30} throughput {shown[1]:5.1f} of {shown[0]:5.1f} Gbit/s ({rate:.2f})"
                f"   connect {shown[3]:5.1f} instead of {shown[2]:5.1f} us ({trip:.2f})"
            )
    finally:
        for name in _NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


if __name__ == "__main__":
    main()
