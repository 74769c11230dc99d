"""A control plane with much in it: 10,000 pods and 1,000 services, listed whole, and asked one by one while 64 clients write.

    python benchmarks/large_cluster.py [--pods 10000] [--services 1000] [--writers 64] [--seconds 10] [--json]
                                       [--reference FOLDER [--etcd PATH]]

Reports the time of a list of all pods, the latency of single reads and writes under load (median and 99th percentile), and how
much memory a pod takes in the server. `--reference` names a folder with Kubernetes' own binaries, measured after Motet in
the same way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from control_plane import Plane, kubernetes, motet

from api import pod

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
MAPS = "/api/v1/namespaces/default/configmaps"
_AT_ONCE = 16
Figures = dict[str, float]


class Client:
    """Requests over connections that are kept."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, method: str, path: str, body: Any = None, media: str = "application/json") -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": media, "Accept": "application/json"}
        async with self._session.request(method, self._url + path, data=data, headers=headers) as answer:
            text = await answer.read()
            if answer.status >= 400:
                raise SystemExit(f"{method} {path}: {answer.status} {text[:300]!r}")
            return text


async def all_of(work: Iterable[Awaitable[Any]]) -> None:
    """Do everything, so many at once."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Awaitable[Any]) -> None:
        async with turns:
            await each

    await asyncio.gather(*(one(each) for each in work))


def service(number: int) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"metadata": {"name": f"svc-{number}"}, "spec": {"selector": {"app": f"web-{number}"}, "ports": ports}}


def unscheduled(number: int) -> dict[str, Any]:
    """A pod that no scheduler looks at."""
    body = pod(f"web-{number}")
    body["spec"]["schedulerName"] = "nobody"
    return body


async def fill(client: Client, plane: Plane, options: argparse.Namespace) -> Figures:
    await all_of(client.ask("POST", SERVICES, service(number)) for number in range(options.services))
    await asyncio.sleep(2)
    before, began = plane.memory(), time.perf_counter()
    await all_of(client.ask("POST", PODS, unscheduled(number)) for number in range(options.pods))
    seconds = time.perf_counter() - began
    await asyncio.sleep(5)
    return {
        "creates_per_s": options.pods / seconds,
        "kb_per_pod": (plane.memory() - before) / options.pods / 1024,
        "memory_mb": plane.memory() / 2**20,
    }


async def timed(ask: Callable[[int], Awaitable[Any]], until: float) -> list[float]:
    """Milliseconds of each request, one after the other."""
    times = []
    while time.perf_counter() < until:
        began = time.perf_counter()
        await ask(len(times))
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)


async def single_requests(client: Client, options: argparse.Namespace) -> Figures:
    """Reads and writes of single objects while others write as fast as they can."""
    until = time.perf_counter() + options.seconds
    written = 0

    async def writer(number: int) -> None:
        nonlocal written
        count = 0
        while time.perf_counter() < until:
            await client.ask("POST", MAPS, {"metadata": {"name": f"map-{number}-{count}"}, "data": {"k": "v" * 500}})
            count += 1
            written += 1

    merge = "application/merge-patch+json"
    note = lambda at: {"metadata": {"annotations": {"example.com/at": str(at)}}}  # noqa: E731
    reads, writes, *_ = await asyncio.gather(
        timed(lambda at: client.ask("GET", f"{PODS}/web-{at % options.pods}"), until),
        timed(lambda at: client.ask("PATCH", f"{PODS}/web-{at % options.pods}", note(at), merge), until),
        *(writer(number) for number in range(options.writers)),
    )
    figures = {"writes_per_s": written / options.seconds}
    for name, times in (("read", reads), ("write", writes)):
        figures[f"{name}_p50_ms"] = times[len(times) // 2]
        figures[f"{name}_p99_ms"] = times[len(times) * 99 // 100]
    return figures


async def measure(plane: Plane, options: argparse.Namespace) -> Figures:
    context = ssl.create_default_context(cafile=str(plane.ca))
    context.load_cert_chain(plane.certificate, plane.key)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=300)) as session:
        client = Client(session, plane.url)
        figures = await fill(client, plane, options)
        lists = []
        for _ in range(3):
            began = time.perf_counter()
            text = await client.ask("GET", "/api/v1/pods")
            lists.append(time.perf_counter() - began)
            if text.count(b'"kind":"Pod"') == 0 and b'"items":[' not in text:
                raise SystemExit("the list is empty")
        figures["list_s"] = statistics.median(lists)
        return figures | await single_requests(client, options)


def show(name: str, figures: Figures) -> None:
    print(
        f"{name:10} {figures['creates_per_s']:6.0f} creates/s; all pods listed in {figures['list_s']:5.2f} s;"
        f" {figures['kb_per_pod']:5.1f} KB per pod, {figures['memory_mb']:5.0f} MB in all\n"
        f"{'':10} under {figures['writes_per_s']:6.0f} writes/s: read p50 {figures['read_p50_ms']:5.1f},"
        f" p99 {figures['read_p99_ms']:5.1f} ms; write p50 {figures['write_p50_ms']:5.1f},"
        f" p99 {figures['write_p99_ms']:5.1f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--services", type=int, default=1_000)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--reference", type=Path, metavar="FOLDER")
    parser.add_argument("--etcd", default="etcd")
    options = parser.parse_args()
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="bench-motet-") as folder, motet(Path(folder)) as plane:
        found["motet"] = uvloop.run(measure(plane, options))
    if options.reference:
        with (
            tempfile.TemporaryDirectory(prefix="bench-kubernetes-") as folder,
            kubernetes(Path(folder), options.reference, options.etcd) as plane,
        ):
            found["kubernetes"] = uvloop.run(measure(plane, options))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        show(name, figures)


if __name__ == "__main__":
    main()
