"""How fast the store writes, and what the cache weighs.

    python benchmarks/store.py [--directory DIR] [--seconds S] [--documents N] [--json]

Creates per second with 1 and 64 writers, durable (FULL) and not (NORMAL), with a cache following; watch fan-out; label
selection; and the memory of 1,000 documents of 3.7 KB. Figures of one run are comparable with each other; between runs and
machines compare the ratios. `--directory` must be on the disk to be measured: in memory FULL costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from motet.base import selectors
from motet.store.cache import Cache, Resource
from motet.store.document import encode
from motet.store.engine import Change
from motet.store.sqlite import SqliteStore, Synchronous

PODS = Resource("core/pods")


def pod(name: str, number: int) -> bytes:
    """A pod of about 3.7 KB, of one of fifty templates."""
    template = f"app-{number % 50}"
    container = {
        "name": "main",
        "image": f"registry.example.com/team/{template}:1.2.3",
        "env": [{"name": f"VARIABLE_{n}", "value": f"value-{n}-{'x' * 60}"} for n in range(30)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
    }
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": template, "uid": f"{number % 50:036}"}
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": f"{number:036}",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": template, "tier": "web" if number % 4 else "db", "pod-template-hash": f"{number % 50:010x}"},
        "annotations": {"example.com/team": "choir"},
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
    spec = {"nodeName": f"node-{number % 100}", "containers": [container]}
    return encode(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Running"}}
    )


def resident() -> int:
    """Bytes of memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def creates(directory: Path, synchronous: Synchronous, writers: int, seconds: float) -> dict[str, Any]:
    """Closed-loop writers for some seconds; latency in milliseconds, own CPU in microseconds."""
    store = SqliteStore(directory / f"{synchronous}-{writers}.db", synchronous)
    await store.open()
    cache = Cache(store, [PODS])
    await cache.start()
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def write(writer: int) -> None:
        number = 0
        while (began := time.perf_counter()) < end:
            name = f"pod-{writer}-{number}"
            await store.submit([Change(f"core/pods/default/{name}", pod(name, number), 0)])
            latencies.append(time.perf_counter() - began)
            number += 1

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    took, used = time.perf_counter() - began, time.process_time() - cpu
    await cache.close()
    await store.close()
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "synchronous": synchronous,
        "writers": writers,
        "per_second": round(len(latencies) / took),
        "p50_ms": round(cuts[49] * 1000, 3),
        "p99_ms": round(cuts[98] * 1000, 3),
        "cpu_us": round(used / len(latencies) * 1e6),
    }


def fill(path: Path, documents: int) -> None:
    """Write so many pods."""

    async def write() -> None:
        store = SqliteStore(path, "NORMAL")
        await store.open()
        for first in range(0, documents, 500):
            names = [(f"pod-{number:06}", number) for number in range(first, min(first + 500, documents))]
            await store.submit([Change(f"core/pods/default/{name}", pod(name, number), 0) for name, number in names])
        await store.close()

    asyncio.run(write())


async def weigh(directory: Path, documents: int) -> dict[str, Any]:
    """Loading, selecting, fanning out, and the memory of it all."""
    # In a process of its own, so that what writing leaves behind is not weighed.
    filler = multiprocessing.get_context("spawn").Process(target=fill, args=(directory / "weight.db", documents))
    filler.start()
    await asyncio.to_thread(filler.join)
    store = SqliteStore(directory / "weight.db", "NORMAL")
    gc.collect()
    began, before = time.perf_counter(), resident()
    await store.open()
    cache = Cache(store, [PODS])
    await cache.start()
    loading, after = time.perf_counter() - began, resident()
    table = cache.table("core/pods")
    result = {
        "documents": documents,
        "document_bytes": len(pod("pod-000000", 0)),
        "load_seconds": round(loading, 2),
        "mb_per_1000": round((after - before) / documents * 1000 / 1e6, 2),
        "select_2_percent_ms": best(lambda: table.select("default", selectors.parse("app=app-7"))),
        "select_75_percent_ms": best(lambda: table.select("", selectors.parse("tier=web"))),
        "select_25_percent_by_inequality_ms": best(lambda: table.select("", selectors.parse("tier!=web,app"))),
        "fan_out_1000_ms": await fan_out(store, cache, 1000),
        "event_among_1000_others_us": await strangers(store, cache, 1000),
    }
    await cache.close()
    await store.close()
    return result


def best(work: Any) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return round(min(times) * 1000, 2)


async def fan_out(store: SqliteStore, cache: Cache, watchers: int) -> float:
    """Milliseconds from submitting one write to the last of the watchers of everything having its bytes."""
    sizes: list[int] = []
    kept = [
        cache.subscribe("core/pods", after=cache.revision, deliver=lambda events: sizes.append(len(events[0].line)))
        for _ in range(watchers)
    ]
    for subscription in kept:
        await subscription.catch_up()
    times = []
    for number in range(20):
        began = time.perf_counter()
        await cache.reached(await store.submit([Change("core/pods/default/fan", pod("fan", number))]))
        times.append(time.perf_counter() - began)
    for subscription in kept:
        subscription.close()
    assert len(sizes) == 20 * watchers
    return round(statistics.median(times) * 1000, 2)


async def strangers(store: SqliteStore, cache: Cache, watchers: int) -> float:
    """Microseconds a write takes longer because so many watch other nodes, names and namespaces."""

    async def write() -> float:
        times = []
        for number in range(200):
            began = time.perf_counter()
            await cache.reached(await store.submit([Change("core/pods/default/odd", pod("odd", number))]))
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    alone = await write()
    kept = [
        cache.subscribe(
            "core/pods",
            after=cache.revision,
            namespace=f"space-{n}",
            fields=selectors.parse_fields(f"metadata.name=n{n}"),
        )
        for n in range(watchers)
    ]
    among = await write()
    for subscription in kept:
        subscription.close()
    return round((among - alone) * 1e6, 1)


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        directory = Path(name)
        cache = await weigh(directory, arguments.documents)
        rows = [
            await creates(directory, synchronous, writers, arguments.seconds)
            for writers in (1, 64)
            for synchronous in ("FULL", "NORMAL")
        ]
        return {"creates": rows, "cache": cache}


def show(result: dict[str, Any]) -> None:
    print(f"{'writers':>8} {'durability':>10} {'creates/s':>10} {'ratio':>6} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>7}")
    base = result["creates"][0]["per_second"]
    for row in result["creates"]:
        print(
            f"{row['writers']:>8} {row['synchronous']:>10} {row['per_second']:>10} {row['per_second'] / base:>6.1f}"
            f" {row['p50_ms']:>8} {row['p99_ms']:>8} {row['cpu_us']:>7}"
        )
    print()
    for name, value in result["cache"].items():
        print(f"{name.replace('_', ' '):<40} {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark of the store and the cache.")
    parser.add_argument("--directory", default=None, help="where the data goes (a real disk, not memory)")
    parser.add_argument("--seconds", type=float, default=3.0, help="per row of the table")
    parser.add_argument("--documents", type=int, default=20_000, help="for the cache's part")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    arguments = parser.parse_args()
    try:
        import uvloop

        result = uvloop.run(run(arguments))
    except ImportError:
        result = asyncio.run(run(arguments))
    if arguments.json:
        json.dump(result, sys.stdout, indent=2)
        print()
    else:
        show(result)


if __name__ == "__main__":
    main()
