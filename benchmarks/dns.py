"""Questions per second of the node's name server over UDP, against dnsmasq in the same run if it is installed.

    python benchmarks/dns.py [--services N] [--clients N] [--seconds S] [--rounds N] [--json]

Each server runs alone in a process of its own, with the same names. `--clients` sockets in this process ask again whenever
they are answered, each with 16 questions under way. The client is Python too and takes its share of the machine, so look at
the ratio, and at the processor time that each server needs for an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from motet.network.dns import wire
from motet.network.dns.forward import Forwarder
from motet.network.dns.server import DnsServer
from motet.network.dns.view import View
from motet.network.dns.wire import Record
from motet.network.dns.zone import Zone

DOMAIN = "cluster.local"
UNDER_WAY = 16


def names(services: int) -> list[tuple[str, str]]:
    return [(f"service-{n}.default.svc.{DOMAIN}", f"10.43.{n // 250}.{n % 250 + 1}") for n in range(services)]


def question(name: str) -> bytes:
    return b"\x01\x00\x00\x01" + bytes(6) + wire.encode_name(name) + b"\x00\x01\x00\x01"


def serve(port: int, services: int) -> None:
    """Our server, until killed."""
    zone = Zone(DOMAIN)
    for name, address in names(services):
        zone.put(name, [Record(name, *wire.address(address))])

    async def run() -> None:
        async with DnsServer(View(zone), Forwarder(tuple), "127.0.0.1", port).serving():
            await asyncio.get_running_loop().create_future()

    import uvloop

    uvloop.run(run())


def start_ours(port: int, services: int, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "--serve", str(port), "--services", str(services)])


def start_dnsmasq(port: int, services: int, folder: Path) -> subprocess.Popen[bytes]:
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{address} {name}\n" for name, address in names(services)))
    words = [
        "--no-daemon",
        "--no-resolv",
        "--no-hosts",
        f"--addn-hosts={hosts}",
        f"--port={port}",
        "--conf-file=/dev/null",
    ]
    command = [
        "dnsmasq",
        *words,
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--cache-size=10000",
        "--user=root",
    ]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def free_port() -> int:
    """One that is free for datagrams and for streams."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as streams:
            datagrams.bind(("127.0.0.1", 0))
            port = int(datagrams.getsockname()[1])
            try:
                streams.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def ask_for(port: int, questions: list[bytes], clients: int, seconds: float) -> dict[str, float]:
    """Closed loop: every answer is followed by the next question."""
    selector = selectors.DefaultSelector()
    sockets = []
    for _ in range(clients):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect(("127.0.0.1", port))
        made.setblocking(False)
        selector.register(made, selectors.EVENT_READ)
        sockets.append(made)
    turn, answered, bad = 0, 0, 0

    def ask(made: socket.socket) -> None:
        nonlocal turn
        turn += 1
        made.send((turn & 0xFFFF).to_bytes(2, "big") + questions[turn % len(questions)])

    for made in sockets * UNDER_WAY:
        ask(made)
    began = time.perf_counter()
    end = began + seconds
    while time.perf_counter() < end:
        ready = selector.select(0.2)
        if not ready:  # lost datagrams: begin anew
            for made in sockets:
                ask(made)
        for key, _ in ready:
            made = key.fileobj  # type: ignore[assignment]
            try:
                for _ in range(UNDER_WAY):
                    packet = made.recv(2048)
                    answered += 1
                    bad += packet[3] & 15 != 0 or packet[7] != 1
                    ask(made)
            except BlockingIOError:
                pass
    took = time.perf_counter() - began
    for made in sockets:
        made.close()
    selector.close()
    return {"per_second": answered / took, "bad": bad}


def wait_for(port: int, packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.1)
        probe.connect(("127.0.0.1", port))
        for _ in range(200):
            try:
                probe.send(b"\0\1" + packet)
                probe.recv(2048)
                return
            except OSError:
                time.sleep(0.05)
    raise SystemExit("the name server does not answer")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def one(start: Callable[[int, int, Path], subprocess.Popen[bytes]], arguments: argparse.Namespace) -> dict[str, float]:
    questions = [question(name) for name, _ in names(arguments.services)]
    random.Random(1).shuffle(questions)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = start(port, arguments.services, Path(folder))
        try:
            wait_for(port, questions[0])
            before = cpu_seconds(server.pid)
            found = ask_for(port, questions, arguments.clients, arguments.seconds)
            used = cpu_seconds(server.pid) - before
            return found | {"cpu_us": used * 1e6 / (found["per_second"] * arguments.seconds)}
        finally:
            server.terminate()
            server.wait()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    servers = {"motet": start_ours} | ({"dnsmasq": start_dnsmasq} if shutil.which("dnsmasq") else {})
    collected: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for _ in range(arguments.rounds):
        for name, start in servers.items():
            collected[name].append(one(start, arguments))
    result: dict[str, Any] = {"services": arguments.services, "clients": arguments.clients}
    for name, found in collected.items():
        result[name] = {
            "per_second": round(statistics.median(each["per_second"] for each in found)),
            "cpu_us": round(statistics.median(each["cpu_us"] for each in found), 1),
            "bad": sum(each["bad"] for each in found),
        }
    if "dnsmasq" in result:
        result["ratio"] = round(result["motet"]["per_second"] / result["dnsmasq"]["per_second"], 2)
        result["cpu_ratio"] = round(result["motet"]["cpu_us"] / result["dnsmasq"]["cpu_us"], 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.services)
        return
    result = measure(arguments)
    if arguments.json:
        print(json.dumps(result))
        return
    for name in ("motet", "dnsmasq"):
        if name in result:
            print(
                f"{name:10}{result[name]['per_second']:>10} questions/s{result[name]['cpu_us']:>8} µs of its CPU each"
            )
    print(f"ratio {result['ratio']}" if "ratio" in result else "dnsmasq is not installed: nothing to compare with")


if __name__ == "__main__":
    main()
