"""How fast the scheduler places pods, without a server around it.

    python benchmarks/scheduler.py [--nodes 1000] [--pods 100000] [--json]

For each mix of owners (one Deployment, a hundred of them, ten pods each, every pod on its own) two figures:

  decide      pods that lie in memory as documents are read, sorted into classes and given nodes
  schedule    the real loop until every pod is bound: that, and the bound documents written into the table the loop follows

`schedule` is what SwarmKit's own benchmark measures (BenchmarkScheduler1kNodes100kTasks: its scheduler against its store in
memory), which needs 18.7 s on a machine of this kind; the ratio is against that number, for its size only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import uvloop

from motet.api.binding import bound
from motet.base.clock import SystemClock
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.kinds.kind import Kind
from motet.scheduler.classes import Classes, PodClass
from motet.scheduler.loop import Scheduler
from motet.scheduler.place import place
from motet.scheduler.snapshot import Snapshot
from motet.store.document import Document, Key, encode, stamp
from motet.store.table import Table

SWARMKIT_SECONDS = 18.7
SWARMKIT_SIZE = (1_000, 100_000)
MIXES = {"one owner": 1, "100 owners": 100, "ten each": -10, "no owner": 0}


def node_documents(count: int) -> list[Document]:
    found = []
    for i in range(count):
        offered = {"cpu": "32", "memory": "256Gi", "pods": "500"}
        labels = {"kubernetes.io/hostname": f"node-{i}", "topology.kubernetes.io/zone": f"z{i % 3}"}
        body = {"metadata": {"name": f"node-{i}", "labels": labels, "uid": f"n{i}"}, "status": {"allocatable": offered}}
        value = encode({"apiVersion": "v1", "kind": "Node", **body})
        found.append(Document(Key("core/nodes", "", f"node-{i}"), stamp(value, i + 1), i + 1))
    return found


def pod_documents(count: int, owners: int) -> list[Document]:
    """Pods as they are stored; of `owners` replica sets, of sets of `-owners` pods each, or of nobody."""
    found = []
    for i in range(count):
        metadata: dict[str, Any] = {"name": f"pod-{i}", "namespace": "default", "uid": f"u{i}"}
        if owners:
            name = f"rs-{i % owners if owners > 0 else i // -owners}"
            reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": True}
            metadata |= {"ownerReferences": [reference], "labels": {"app": name}}
        resources = {"requests": {"cpu": "10m", "memory": "16Mi"}}
        container = {"name": "c", "image": "registry.example.com/app:1", "resources": resources}
        spec = {"containers": [container], "restartPolicy": "Always", "schedulerName": "default-scheduler"}
        body = {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
        value = encode({"apiVersion": "v1", "kind": "Pod", **body})
        found.append(Document(Key("core/pods", "default", f"pod-{i}"), stamp(value, i + 1), i + 1))
    return found


def decide(nodes: Iterable[Document], pods: Iterable[Document]) -> float:
    """Seconds to give every pod a node."""
    began = time.perf_counter()
    snapshot, classes = Snapshot(), Classes()
    for document in nodes:
        snapshot.set_node(document)
    groups: dict[PodClass, int] = {}
    for document in pods:
        pod_class = classes.of(document)
        groups[pod_class] = groups.get(pod_class, 0) + 1
    placed = sum(len(place(snapshot, pod_class, count).nodes) for pod_class, count in groups.items())
    seconds = time.perf_counter() - began
    if placed != sum(groups.values()):
        raise SystemExit(f"only {placed} pods were placed")
    return seconds


class MemoryClient:
    """Tables, and bindings that are written into them; what else a scheduler calls does not happen here."""

    def __init__(self, nodes: Iterable[Document], pods: Iterable[Document]) -> None:
        self.tables: dict[str, Table] = {}
        self.left = 0
        self.done = asyncio.Event()
        for kind, documents in ((node_kind.KIND, nodes), (pod_kind.KIND, pods)):
            table = self._table(kind)
            for document in documents:
                table.apply(document.key, document, document.revision)
        self.left = len(self.tables["core/pods"])

    def _table(self, kind: Kind) -> Table:
        if kind.resource not in self.tables:
            self.tables[kind.resource] = Table(kind.resource, fields=kind.fields, indexed_fields=kind.indexed_fields)
        return self.tables[kind.resource]

    async def table(self, kind: Kind) -> Table:
        return self._table(kind)

    async def bind(self, bindings: Iterable[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        pods = self.tables["core/pods"]
        now = SystemClock().now()
        answers: list[Exception | None] = []
        for namespace, name, uid, node in bindings:
            pod = pods.get(name, namespace)
            assert pod is not None
            revision = pods.revision + 1
            pods.apply(pod.key, Document(pod.key, stamp(bound(pod, uid, node, now), revision), revision), revision)
            answers.append(None)
        self.left -= len(answers)
        if not self.left:
            self.done.set()
        return answers


class Silence:
    """A recorder of events that has nothing to tell."""

    def event(self, *told: object) -> None:
        return


async def schedule(nodes: Iterable[Document], pods: Iterable[Document]) -> float:
    """Seconds from the start of the loop until every pod is bound."""
    client = MemoryClient(nodes, pods)
    scheduler = Scheduler(client, Silence(), SystemClock())  # type: ignore[arg-type]
    began = time.perf_counter()
    running = asyncio.create_task(scheduler.run())
    finished = asyncio.create_task(client.done.wait())
    await asyncio.wait([running, finished], return_when=asyncio.FIRST_COMPLETED)
    seconds = time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return seconds


def fresh(documents: Iterable[Document]) -> list[Document]:
    """The same documents with nothing decoded yet."""
    return [Document(document.key, document.raw, document.revision) for document in documents]


def measure(nodes: int, pods: int, owners: int) -> dict[str, float]:
    some_nodes, some_pods = node_documents(nodes), pod_documents(pods, owners)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)  # as the manager sets it
    decided = decide(fresh(some_nodes), fresh(some_pods))
    scheduled = uvloop.run(schedule(fresh(some_nodes), fresh(some_pods)))
    figures = {"decide_s": decided, "schedule_s": scheduled, "pods_per_s": pods / scheduled}
    if (nodes, pods) == SWARMKIT_SIZE:
        figures["times_swarmkit"] = SWARMKIT_SECONDS / scheduled
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1_000, 5_000])
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for nodes in options.nodes:
        for mix, owners in MIXES.items():
            figures = measure(nodes, options.pods, owners)
            results.append({"nodes": nodes, "pods": options.pods, "mix": mix, **figures})
            if options.json:
                continue
            ratio = f"{figures['times_swarmkit']:6.1f} times SwarmKit" if "times_swarmkit" in figures else ""
            print(
                f"{nodes:6d} nodes {options.pods:7d} pods, {mix:>10}: decide {figures['decide_s']:6.2f} s,"
                f" schedule {figures['schedule_s']:6.2f} s, {figures['pods_per_s']:8.0f} pods/s {ratio}",
                flush=True,
            )
    if options.json:
        print(msgspec.json.format(json.dumps(results)))


if __name__ == "__main__":
    main()
