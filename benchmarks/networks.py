"""How long a pod waits until its Networks hold, with so many other pods on the same one.

    sudo python benchmarks/networks.py [--others N ...] [--pods N] [--json]

Works in a network namespace of its own, with real nftables; the rest of the node is left out. What is timed is what stands
between a pod's sandbox and its first container: from its address being known to its rules being in the kernel. Milliseconds,
median and worst, and this process' own processor time for each pod.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from motet.client.interface import Remembered
from motet.kinds import network, podaddress
from motet.kinds.attachments import ANNOTATION
from motet.kinds.kind import Kind
from motet.network.config import NetworkConfig
from motet.network.policy.loop import Policies
from motet.network.proxy.nft import Nft
from motet.network.roster import Roster
from motet.store.document import Document, Key, encode, stamp
from motet.store.table import Table

CONFIG = NetworkConfig(
    node_name="n1", pods=IPv4Network("10.42.0.0/24"), cni_config=Path("/nowhere"), cni_state=Path("/nowhere")
)


class World:
    """As much of a client as a node's rules need: one Network, and pods of other nodes on it."""

    def __init__(self, others: int) -> None:
        self._tables: dict[str, Table] = {}
        self._put(network.KIND, {"metadata": {"name": "net", "namespace": "default"}, "spec": {}})
        for number in range(others):
            address = f"10.42.{1 + number // 250}.{2 + number % 250}"
            self._put(podaddress.KIND, pod(f"far-{number}", "n2", address))

    def _put(self, kind: Kind, document: dict[str, Any]) -> None:
        table = self._tables.setdefault(kind.resource, Table(kind.resource))
        made = document_of(kind, document)
        table.apply(made.key, made, 1)

    async def table(self, kind: Kind, *_: Any, **__: Any) -> Table:
        return self._tables.setdefault(kind.resource, Table(kind.resource))

    async def remembered(self, kind: Kind) -> Remembered:
        return Remembered(await self.table(kind), self._confirmed)

    async def _confirmed(self) -> None:
        """It is all true."""


def document_of(kind: Kind, document: dict[str, Any]) -> Document:
    meta = document["metadata"]
    return Document(Key(kind.resource, meta["namespace"], meta["name"]), stamp(encode(document), 1), 1)


def pod(name: str, node: str, address: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": name, "annotations": {ANNOTATION: "net"}}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running", "podIP": address}}


async def measure(others: int, pods: int) -> dict[str, Any]:
    client: Any = World(others)
    roster = Roster(client, "n1")
    running = asyncio.ensure_future(Policies(client, CONFIG, Nft(), roster).run())
    await roster.awake()
    await roster.enforced()
    waits: list[float] = []
    used = time.process_time()
    for number in range(pods):
        document = document_of(podaddress.KIND, pod(f"own-{number}", "n1", ""))
        began = time.perf_counter()
        roster.admit(document, f"10.42.0.{2 + number}")
        await roster.enforced()
        waits.append((time.perf_counter() - began) * 1000)
    used = (time.process_time() - used) * 1000 / pods
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    found = {"median_ms": statistics.median(waits), "worst_ms": max(waits), "cpu_ms": used}
    return {"others": others} | {key: round(value, 1) for key, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", type=int, nargs="+", default=[50, 1000, 10000])
    parser.add_argument("--pods", type=int, default=100, help="pods of this node that begin, one after the other")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if os.environ.get("MOTET_BENCH_INSIDE") != "1":
        command = ["unshare", "--net", sys.executable, *sys.argv]
        raise SystemExit(subprocess.run(command, env={**os.environ, "MOTET_BENCH_INSIDE": "1"}, check=False).returncode)
    results = [asyncio.run(measure(others, arguments.pods)) for others in arguments.others]
    if arguments.json:
        print(json.dumps(results))
        return
    for each in results:
        print(f"{each['others']:>7} others: {each['median_ms']} ms, worst {each['worst_ms']}, CPU {each['cpu_ms']}")


if __name__ == "__main__":
    main()
