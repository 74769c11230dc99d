"""Endpoints that go: for how long clients of another node's port still meet them, by the way they went.

    sudo python benchmarks/failover.py [--node-grace SECONDS]

A testbed of three nodes with a pod on each; clients outside ask the first node's port, each time with a new connection and for
at most a second. One endpoint goes; what counts is the time until the last request that failed (or, if none fails, that the
endpoint still answered). Every way is tried several times, but pulling a node's plug.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.kinds import pod, service
from motet.testbed.cluster import Testbed

IMAGE = "localhost/motet-bench/busybox:1"
NODES = ("n1", "n2", "n3")
_PORT = 30080
_CLIENTS = 4
_TRIES = 5
# Ends at the first SIGTERM, and is ready for as long as a file says so.
_SERVE = """#!/bin/sh
mkdir -p /tmp/www; echo $NAME > /tmp/www/index.html; echo > /tmp/www/ready
trap 'kill $!; exit 0' TERM
httpd -f -p 8080 -h /tmp/www & wait
"""


def fetch(host: str) -> str:
    """Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection(host, _PORT, timeout=1.0)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
        return answer.read().decode().strip()


class Clients:
    """Ask on and on; remember who answered when, and when nobody did. All times are when a request began."""

    def __init__(self, host: str) -> None:
        self.answers: list[tuple[float, str]] = []
        self.failures: list[float] = []
        self._host = host
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(_CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        while not self._ended.wait(0.002):
            at = time.monotonic()
            try:
                self.answers.append((at, fetch(self._host)))
            except (OSError, http.client.HTTPException):
                self.failures.append(at)


def web(node: str, tag: str) -> dict[str, Any]:
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/serve"],
        "env": [{"name": "NAME", "value": node}],
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/ready"}, "periodSeconds": 1, "failureThreshold": 1},
    }
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 5, "containers": [container]}
    return {"metadata": {"name": f"web-{node}-{tag}", "labels": {"app": "web"}}, "spec": spec}


class Bench:
    def __init__(self, testbed: Testbed, client: Client) -> None:
        self.testbed, self.client = testbed, client
        self.names: dict[str, str] = {}
        self.count = 0

    async def place(self, node: str) -> None:
        """A fresh pod on a node, which the first node's port gives too when this returns."""
        self.count += 1
        document = web(node, str(self.count))
        self.names[node] = document["metadata"]["name"]
        await self.client.create(pod.KIND, document, "default")
        await self.until(lambda: node in self.round())

    def round(self) -> set[str]:
        try:
            return {fetch(self.testbed.address("n1")) for _ in range(20)}
        except (OSError, http.client.HTTPException):
            return set()

    async def until(self, holds: Callable[[], bool], seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(holds):
            if time.monotonic() > deadline:
                raise TimeoutError("it never came about")
            await asyncio.sleep(0.1)

    def processes(self, node: str) -> list[int]:
        """Those of the node's server."""
        root = self.testbed.box(node).machine.cgroup_root
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and b"httpd" in (entry / "cmdline").read_bytes():
                    found += [int(entry.name)] if root in (entry / "cgroup").read_text() else []
            except OSError:
                continue
        return found

    async def kill(self, node: str) -> None:
        for pid in self.processes(node):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def unready(self, node: str) -> None:
        for pid in self.processes(node):
            Path(f"/proc/{pid}/root/tmp/www/ready").unlink(missing_ok=True)

    async def delete(self, node: str) -> None:
        await self.client.delete(pod.KIND, self.names[node], "default")

    async def remove(self, node: str) -> None:
        await self.client.delete(pod.KIND, self.names[node], "default", grace_seconds=0)

    async def unplug(self, node: str) -> None:
        self.testbed.kill(node)

    async def measure(self, way: Callable[[str], Awaitable[None]], wait: float) -> tuple[int, int, float, float]:
        """Failed and all requests; seconds to the last failure and to the last answer of the endpoint that went."""
        with Clients(self.testbed.address("n1")) as clients:
            await asyncio.sleep(0.5)
            at = time.monotonic()
            await way("n3")
            await asyncio.sleep(wait)
        failures = [each - at for each in clients.failures if each >= at - 1.0]
        answers = [each - at for each, who in clients.answers if who == "n3" and each < at + wait]
        asked = len(clients.answers) + len(clients.failures)
        return len(failures), asked, max(failures, default=0.0), max(answers, default=0.0)


def show(name: str, rounds: list[tuple[int, int, float, float]]) -> None:
    failed, asked = sum(each[0] for each in rounds), sum(each[1] for each in rounds)
    fails, answers = ([each[index] for each in rounds] for index in (2, 3))
    print(
        f"{name:34} {failed:4} of {asked:5} failed; last failure after {statistics.median(fails):6.2f} s"
        f" (worst {max(fails):6.2f}), last answer after {statistics.median(answers):5.2f} s (worst {max(answers):5.2f})",
        flush=True,
    )


async def run(testbed: Testbed, directory: Path, node_grace: float) -> None:
    # The tests' smallest image.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from support.images import busybox_image

    await testbed.up(3, node_grace=node_grace)
    busybox_image(directory / "image.tar", IMAGE, {"serve": _SERVE})
    await testbed.load_image(directory / "image.tar")
    async with testbed.client() as client:
        bench = Bench(testbed, client)
        spec = {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 8080, "nodePort": _PORT}]}
        await client.create(service.KIND, {"metadata": {"name": "web"}, "spec": spec}, "default")
        for node in NODES:
            await bench.place(node)
        ways = {
            "process killed (it is restarted)": (bench.kill, 4.0, False),
            "readiness probe fails (every 1 s)": (bench.unready, 4.0, True),
            "pod deleted": (bench.delete, 3.0, True),
            "pod deleted with grace 0": (bench.remove, 3.0, True),
        }
        for name, (way, wait, gone) in ways.items():
            rounds = []
            for _ in range(_TRIES):
                rounds.append(await bench.measure(way, wait))
                if gone:
                    with contextlib.suppress(NotFound):
                        await client.delete(pod.KIND, bench.names["n3"], "default", grace_seconds=0)
                    await bench.place("n3")
                else:
                    await bench.until(lambda: "n3" in bench.round())
            show(name, rounds)
        show("plug of the node pulled", [await bench.measure(bench.unplug, (node_grace or 40.0) + 15.0)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node-grace", type=float, default=0.0, help="seconds a node may be silent (the usual: 40)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="motet-bench-", dir="/var/tmp") as parent:
        testbed = Testbed(Path(parent, "bed"))
        try:
            asyncio.run(run(testbed, Path(parent), arguments.node_grace))
        finally:
            asyncio.run(testbed.down())


if __name__ == "__main__":
    main()
