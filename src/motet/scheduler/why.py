"""Why a pod is where it is, or nowhere: every node with every reason against it, and the score of those that would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from motet.scheduler import filters, neighbours
from motet.scheduler.classes import PodClass
from motet.scheduler.neighbours import Neighbours
from motet.scheduler.place import judged
from motet.scheduler.snapshot import Node, Snapshot


@dataclass(frozen=True, slots=True)
class Lack:
    """A resource that a node has too little of, in its own units (millicores, bytes, counts)."""

    resource: str
    wanted: int
    free: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One node. `reasons` and `lacks` are empty where the pod could run; only then there are scores."""

    node: str
    reasons: tuple[str, ...] = ()
    lacks: tuple[Lack, ...] = ()
    score: float = 0.0
    parts: tuple[tuple[str, float], ...] = ()

    @property
    def fits(self) -> bool:
        return not self.reasons and not self.lacks


def verdicts(snapshot: Snapshot, pod: PodClass, extra: Sequence[filters.Filter] = ()) -> list[Verdict]:
    """All nodes, the best first, then the others by name. The pod itself must not count in `snapshot`."""
    found: dict[int, Verdict] = {}
    around = _neighbours(snapshot, pod)
    for row, node in snapshot.named():
        checks = (*filters.STATIC, filters.ports, *extra)
        reasons = [reason for check in checks if (reason := check(pod, node))]
        reasons += around.get(row, ())
        found[row] = Verdict(node.name, tuple(dict.fromkeys(reasons)), tuple(_lacks(snapshot, pod, row)))
    fitting = np.array([row for row, verdict in found.items() if verdict.fits], np.intp)
    if len(fitting):
        found.update(_scored(snapshot, pod, fitting))
    return sorted(found.values(), key=lambda each: (not each.fits, -each.score, each.node))


def _neighbours(snapshot: Snapshot, pod: PodClass) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    if neighbours.concern(snapshot, pod):
        rows = np.array([row for row, _ in snapshot.named()], np.intp)
        for reason, refused in Neighbours(snapshot, pod, rows).refusals():
            for row in rows[refused].tolist():
                found.setdefault(row, []).append(reason)
    return found


def _lacks(snapshot: Snapshot, pod: PodClass, row: int) -> Iterator[Lack]:
    demand, missing = snapshot.demand(pod)
    for resource in missing:
        yield Lack(resource, pod.requests[resource], 0)
    for resource, column, amount in demand:
        free = int(snapshot.allocatable[row, column] - snapshot.used[row, column])
        if free < amount:
            yield Lack(resource, amount, free)


def _scored(snapshot: Snapshot, pod: PodClass, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> dict[int, Verdict]:
    parts = judged(snapshot, pod, rows)
    columns = {
        "spread": parts.spread,
        "room": parts.room,
        "preferred": parts.wished,
        "neighbours": parts.liked + np.zeros(len(rows)),
        "even": parts.even + np.zeros(len(rows)),
    }
    found = {}
    for at, row in enumerate(rows.tolist()):
        node: Node | None = snapshot.nodes[row]
        assert node is not None
        told = tuple((name, round(float(values[at]), 2)) for name, values in columns.items() if values.any())
        found[row] = Verdict(node.name, score=round(float(parts.total[at]), 2), parts=told)
    return found
