"""Seconds from `kubectl create` to Running, for one pod and for many, on a real node.

Starts a one-node cluster in a network namespace of its own (root, containerd and nftables are needed), puts a tiny image
into it, creates pods through the API and waits for them by watch. Everything is removed at the end.

    benchmarks/node.py [--pods 50] [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from motet.base.selectors import parse
from motet.kinds import pod
from motet.machine import lifecycle
from motet.machine.layout import Machine, Settings
from motet.runtime import pause

NAMESPACE = f"motet-bench-{os.getpid()}"


class Status(msgspec.Struct, frozen=True):
    phase: str = ""


class View(msgspec.Struct, frozen=True):
    status: Status = Status()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def make_namespace() -> None:
    """A namespace with an address, so that a node has something to be reached by."""
    ip("netns", "add", NAMESPACE)
    for command in (
        "link set lo up",
        "link add up0 type bridge",
        "addr add 192.0.2.77/24 dev up0",
        "link set up0 up",
        "route add default via 192.0.2.1",
    ):
        ip("-n", NAMESPACE, *command.split())


def document(name: str) -> dict[str, object]:
    container = {"name": "c", "image": pause.REFERENCE, "imagePullPolicy": "Never"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"bench": "node"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


async def until_running(machine: Machine, settings: Settings, count: int) -> tuple[float, float]:
    """Seconds until the first and until the last of `count` pods runs; they are deleted afterwards."""
    async with lifecycle.connect(machine, settings) as client:
        table = await client.table(pod.KIND, "default", labels=parse("bench=node"))
        changed = asyncio.Event()
        table.listen(lambda old, new: changed.set())

        def running() -> int:
            return sum(item.view(View).status.phase == "Running" for item in table)

        async def until(done) -> float:  # type: ignore[no-untyped-def]
            while not done():
                changed.clear()
                await asyncio.wait_for(changed.wait(), 120)
            return time.perf_counter() - began

        began = time.perf_counter()
        await asyncio.gather(*(client.create(pod.KIND, document(f"bench-{number}")) for number in range(count)))
        first = await until(lambda: running() >= 1)
        last = await until(lambda: running() >= count)
        await asyncio.gather(*(client.delete(pod.KIND, item.name, "default") for item in list(table)))
        await until(lambda: len(table) == 0)
        return first, last


async def measure(machine: Machine, pods: int, rounds: int) -> dict[str, float]:
    settings = await lifecycle.ensure(machine, lambda text: None)
    single = [(await until_running(machine, settings, 1))[1] for _ in range(rounds)]
    many = [(await until_running(machine, settings, pods)) for _ in range(rounds)]
    return {
        "one_pod_s": round(statistics.median(single), 3),
        "first_of_many_s": round(statistics.median(first for first, _ in many), 3),
        "all_of_many_s": round(statistics.median(last for _, last in many), 3),
        "pods_per_s": round(pods / statistics.median(last for _, last in many), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pods", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        machine = Machine(arguments.inside)
        began = time.perf_counter()
        asyncio.run(lifecycle.ensure(machine, lambda text: None))
        ready = round(time.perf_counter() - began, 2)
        try:
            result = {"node_ready_s": ready, **asyncio.run(measure(machine, arguments.pods, arguments.rounds))}
        finally:
            asyncio.run(lifecycle.remove(machine))
        print(
            json.dumps(result) if arguments.json else "\n".join(f"{key:>16} {value}" for key, value in result.items())
        )
        return
    if os.geteuid() != 0:
        sys.exit("this needs root")
    make_namespace()
    try:
        with tempfile.TemporaryDirectory(prefix="motet-bench-") as directory:
            inside = [sys.executable, *sys.argv, "--inside", f"{directory}/data"]
            subprocess.run(["nsenter", f"--net=/run/netns/{NAMESPACE}", *inside], check=True)
    finally:
        ip("netns", "del", NAMESPACE)


if __name__ == "__main__":
    main()
