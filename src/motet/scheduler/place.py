"""Where to put pods: pure, and exact.

Equal pods are placed as one batch: all nodes are filtered and scored at once with numpy, then a heap gives the best
node, whose score alone changes with each pod it takes. The outcome is that of placing one after the other.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motet.scheduler import filters
from motet.scheduler.affinity import term_matches
from motet.scheduler.classes import PodClass
from motet.scheduler.snapshot import Node, Snapshot

# Weights after upstream's default profile: spreading counts most, then room and balance.
_SPREAD, _ROOM, _BALANCE, _PREFERRED, _PREFER_NO = 2.0, 1.0, 1.0, 2.0, 3.0

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no node would do: how many nodes gave each reason."""

    nodes: int
    reasons: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        if not self.nodes:
            return "no nodes available to schedule pods"
        listed = ", ".join(f"{count} {reason}" for reason, count in self.reasons)
        return f"0/{self.nodes} nodes are available: {listed}."


@dataclass(frozen=True, slots=True)
class Batch:
    """The answer for `count` equal pods: node names for the first of them, and why the rest have none."""

    nodes: Sequence[str]
    refusal: Refusal | None = None


def place(snapshot: Snapshot, pod: PodClass, count: int, extra: Sequence[filters.Filter] = ()) -> Batch:
    """Put `count` pods of one class onto nodes, counting them in `snapshot` as they are placed.

    `extra` are filters that only this batch has, such as where its volumes are.
    """
    reasons: Counter[str] = Counter()
    rows = _allowed(snapshot, pod, extra, reasons)
    demand, missing = snapshot.demand(pod)
    if missing:
        reasons.update({f"Insufficient {resource}": len(rows) for resource in missing})
        return Batch((), _refusal(snapshot, reasons))
    rows = _roomy(snapshot, demand, rows, reasons)
    if not len(rows):
        return Batch((), _refusal(snapshot, reasons))
    placed = _fill(snapshot, pod, count, rows, demand)
    if len(placed) == count:
        return Batch(placed)
    return Batch(placed, explain(snapshot, pod, extra))


def explain(snapshot: Snapshot, pod: PodClass, extra: Sequence[filters.Filter] = ()) -> Refusal:
    """Why a pod of this class fits nowhere as things stand."""
    reasons: Counter[str] = Counter()
    rows = _allowed(snapshot, pod, extra, reasons)
    demand, missing = snapshot.demand(pod)
    reasons.update({f"Insufficient {resource}": len(rows) for resource in missing})
    _roomy(snapshot, demand, rows, reasons)
    return _refusal(snapshot, reasons)


def _refusal(snapshot: Snapshot, reasons: Counter[str]) -> Refusal:
    return Refusal(len(snapshot), tuple(sorted(reasons.items())))


def _allowed(
    snapshot: Snapshot, pod: PodClass, extra: Iterable[filters.Filter], reasons: Counter[str]
) -> npt.NDArray[np.intp]:
    """Rows that pass every filter that is not a number; the others are counted under their first reason."""
    checks: list[filters.Filter] = [*filters.STATIC, *extra]
    if pod.host_ports:
        checks.append(filters.ports)
    rows = []
    for row, node in snapshot.named():
        for check in checks:
            if reason := check(pod, node):
                reasons[reason] += 1
                break
        else:
            rows.append(row)
    return np.array(rows, np.intp)


def _roomy(
    snapshot: Snapshot, demand: list[tuple[str, int, int]], rows: npt.NDArray[np.intp], reasons: Counter[str]
) -> npt.NDArray[np.intp]:
    """Rows with enough of everything left. A node may lack several things and is then counted under each."""
    fits: Mask = np.ones(len(rows), np.bool_)
    for resource, column, amount in demand:
        enough = snapshot.allocatable[rows, column] - snapshot.used[rows, column] >= amount
        lacking = int(len(rows) - enough.sum())
        if lacking:
            reasons["Too many pods" if resource == "pods" else f"Insufficient {resource}"] += lacking
        fits &= enough
    return rows[fits]


def _fill(
    snapshot: Snapshot, pod: PodClass, count: int, rows: npt.NDArray[np.intp], demand: list[tuple[str, int, int]]
) -> list[str]:
    """Take the best node `count` times, or until none has room."""
    nodes: list[Node] = [node for row in rows if (node := snapshot.nodes[row]) is not None]
    copies = _room_for(snapshot, rows, demand, 1 if pod.host_ports else count)
    cpu, memory = pod.scored
    used: list[list[int]] = snapshot.scored[rows].tolist()
    capacity: list[list[int]] = np.maximum(snapshot.allocatable[rows, :2], 1).tolist()
    here = [node.owners.get(pod.owner, 0) for node in nodes]
    fixed = [_fixed(pod, node) for node in nodes]

    def score(at: int) -> float:
        busy_cpu = min(1.0, (used[at][0] + cpu) / capacity[at][0])
        busy_memory = min(1.0, (used[at][1] + memory) / capacity[at][1])
        room = 1.0 - (busy_cpu + busy_memory) / 2
        balance = 1.0 - abs(busy_cpu - busy_memory) / 2
        return fixed[at] + _SPREAD / (1 + here[at]) + _ROOM * room + _BALANCE * balance

    heap = [(-score(at), at) for at in range(len(nodes))]
    heapq.heapify(heap)
    taken = [0] * len(nodes)
    placed: list[str] = []
    while len(placed) < count and heap:
        at = heap[0][1]
        placed.append(nodes[at].name)
        taken[at] += 1
        used[at][0] += cpu
        used[at][1] += memory
        here[at] += 1
        if taken[at] < copies[at]:
            heapq.heapreplace(heap, (-score(at), at))
        else:
            heapq.heappop(heap)
    _settle(snapshot, pod, nodes, rows, taken, demand)
    return placed


def _room_for(
    snapshot: Snapshot, rows: npt.NDArray[np.intp], demand: list[tuple[str, int, int]], most: int
) -> list[int]:
    """How many copies each row can take, `most` at the most."""
    copies = np.full(len(rows), most, np.int64)
    for _, column, amount in demand:
        free = snapshot.allocatable[rows, column] - snapshot.used[rows, column]
        copies = np.minimum(copies, free // amount)
    return [int(copy) for copy in copies]


def _settle(
    snapshot: Snapshot,
    pod: PodClass,
    nodes: list[Node],
    rows: npt.NDArray[np.intp],
    taken: list[int],
    demand: list[tuple[str, int, int]],
) -> None:
    """Count the placed pods in the snapshot, all nodes at once."""
    copies = np.array(taken, np.int64)
    for _, column, amount in demand:
        snapshot.used[rows, column] += copies * amount
    snapshot.scored[rows, 0] += copies * pod.scored[0]
    snapshot.scored[rows, 1] += copies * pod.scored[1]
    for node, copy in zip(nodes, taken, strict=True):
        if copy:
            node.owners[pod.owner] += copy
            for port in pod.host_ports:
                node.ports[port] += copy


def _fixed(pod: PodClass, node: Node) -> float:
    """The part of a score that does not change as pods are added."""
    total = 0.0
    if pod.node_affinity is not None and pod.node_affinity.preferred:
        weights = sum(term.weight for term in pod.node_affinity.preferred) or 1
        won = sum(
            term.weight for term in pod.node_affinity.preferred if term_matches(term.preference, node.labels, node.name)
        )
        total += _PREFERRED * won / weights
    disliked = sum(
        1
        for taint in node.taints
        if taint.effect == "PreferNoSchedule" and not filters.tolerated(taint, pod.tolerations)
    )
    return total - _PREFER_NO * disliked
