"""Where to put pods: pure, and exact.

Equal pods are placed as one batch: all nodes are filtered and scored at once with numpy, then a heap gives the best
node, whose score alone changes with each pod it takes. The outcome is that of placing one after the other. Pods for which their
neighbours matter are placed one after the other indeed, since each changes where the next may go.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.scheduler import filters, neighbours
from motet.scheduler.affinity import term_matches
from motet.scheduler.classes import PodClass
from motet.scheduler.neighbours import Neighbours
from motet.scheduler.profiles import Profile
from motet.scheduler.snapshot import Node, Snapshot, Standing

# What each part of a score counts is said by the pod's profile. Where it does not pack, every score only falls while a
# batch is placed, which `_candidates` relies on.
# Images that are there already: nothing below the first size in bytes, everything above the second for each container,
# each image counted by the share of nodes that have it, as upstream; a tie-breaker more than a wish.
_SMALL_IMAGE, _LARGE_IMAGE = 23 * 2**20, 1000 * 2**20

Rows = npt.NDArray[np.intp]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no node would do: how many nodes gave each reason."""

    nodes: int
    reasons: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        if not self.nodes:
            return "no nodes available to schedule pods"
        listed = ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons))
        return f"0/{self.nodes} nodes are available: {listed}."


@dataclass(frozen=True, slots=True)
class Batch:
    """The answer for `count` equal pods: node names for the first of them, and why the rest have none."""

    nodes: Sequence[str]
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a score is made of, per row: wishes about the node itself, few pods of the same owner, room, and neighbours."""

    wished: Scores
    spread: Scores
    room: Scores
    liked: Scores | float = 0.0
    even: Scores | float = 0.0

    @property
    def total(self) -> Scores:
        total: Scores = self.wished + self.spread + self.room + self.liked + self.even
        return total


def place(snapshot: Snapshot, pod: PodClass, count: int, extra: Sequence[filters.Filter] = ()) -> Batch:
    """Put `count` pods of one class onto nodes, counting them in `snapshot` as they are placed.

    `extra` are filters that only this batch has, such as where its volumes are.
    """
    standing = _allowed(snapshot, pod, extra)
    demand, missing = snapshot.demand(pod)
    placed: list[str] = []
    if not missing:
        roomy = np.ones(len(standing.rows), np.bool_)
        for enough in _fits(snapshot, demand, standing.rows):
            roomy &= enough
        standing = _with_images(snapshot, pod, standing)
        fill = _one_by_one if pod.profile.packs or neighbours.concern(snapshot, pod) else _fill
        placed = fill(snapshot, pod, count, standing.rows[roomy], standing.fixed[roomy], demand)
    return Batch(placed, None if len(placed) == count else explain(snapshot, pod, extra))


def explain(snapshot: Snapshot, pod: PodClass, extra: Sequence[filters.Filter] = ()) -> Refusal:
    """Why a pod of this class fits nowhere as things stand. A node that lacks several resources counts under each."""
    standing = _allowed(snapshot, pod, extra)
    reasons = Counter(standing.reasons)
    demand, missing = snapshot.demand(pod)
    lacking = [len(standing.rows)] * len(missing)
    lacking += [int((~enough).sum()) for enough in _fits(snapshot, demand, standing.rows)]
    for resource, nodes in zip([*missing, *(resource for resource, _, _ in demand)], lacking, strict=True):
        if nodes:
            reasons["Too many pods" if resource == "pods" else f"Insufficient {resource}"] += nodes
    if not missing and neighbours.concern(snapshot, pod):
        roomy = np.ones(len(standing.rows), np.bool_)
        for enough in _fits(snapshot, demand, standing.rows):
            roomy &= enough
        left = np.ones(int(roomy.sum()), np.bool_)
        for reason, refused in Neighbours(snapshot, pod, standing.rows[roomy]).refusals():
            reasons[reason] += int((left & refused).sum())
            left &= ~refused
    return Refusal(len(snapshot), tuple(sorted((reason, nodes) for reason, nodes in reasons.items() if nodes)))


def allowed(snapshot: Snapshot, pod: PodClass, extra: Sequence[filters.Filter] = ()) -> Rows:
    """The rows that only what runs there may keep the pod from: those that pass all filters of labels, taints and places."""
    standing = _standing(snapshot, pod)
    if not extra:
        return standing.rows
    nodes = zip(standing.rows.tolist(), _at(snapshot, standing.rows), strict=True)
    return _filtered(snapshot, pod, nodes, extra, Counter()).rows


def suits(snapshot: Snapshot, pod: PodClass, row: int) -> bool:
    """Whether what runs now leaves room for one more pod on a row that is allowed: amounts, ports, neighbours."""
    node = snapshot.nodes[row]
    if node is None or filters.ports(pod, node):
        return False
    demand, missing = snapshot.demand(pod)
    here = np.array([row], np.intp)
    if missing or not all(enough[0] for enough in _fits(snapshot, demand, here)):
        return False
    return not neighbours.concern(snapshot, pod) or bool(Neighbours(snapshot, pod, here).allowed()[0])


def _standing(snapshot: Snapshot, pod: PodClass) -> Standing:
    """What is the same for all pods with these rules, worked out once."""
    standing = snapshot.standing(pod.rules)
    if standing is None:
        standing = _filtered(snapshot, pod, snapshot.named(), filters.STATIC, Counter())
        fixed = np.array([_fixed(pod, node) for node in _at(snapshot, standing.rows)], np.float64)
        standing = Standing(standing.rows, fixed, standing.reasons)
        snapshot.remember(pod.rules, standing)
    return standing


def _allowed(snapshot: Snapshot, pod: PodClass, extra: Iterable[filters.Filter]) -> Standing:
    """The nodes that pass every filter that is not a number; the others are counted under their first reason."""
    standing = _standing(snapshot, pod)
    checks = [*extra, *((filters.ports,) if pod.host_ports else ())]
    if not checks:
        return standing
    nodes = zip(standing.rows.tolist(), _at(snapshot, standing.rows), strict=True)
    rest = _filtered(snapshot, pod, nodes, checks, Counter(standing.reasons))
    return Standing(rest.rows, standing.fixed[np.isin(standing.rows, rest.rows)], rest.reasons)


def _filtered(
    snapshot: Snapshot,
    pod: PodClass,
    nodes: Iterable[tuple[int, Node]],
    checks: Sequence[filters.Filter],
    reasons: Counter[str],
) -> Standing:
    rows = []
    for row, node in nodes:
        for check in checks:
            if reason := check(pod, node):
                reasons[reason] += 1
                break
        else:
            rows.append(row)
    return Standing(np.array(rows, np.intp), np.zeros(len(rows)), reasons)


def _at(snapshot: Snapshot, rows: Rows) -> list[Node]:
    return [node for row in rows.tolist() if (node := snapshot.nodes[row]) is not None]


def _fits(snapshot: Snapshot, demand: Iterable[tuple[str, int, int]], rows: Rows) -> Iterator[npt.NDArray[np.bool_]]:
    """For every resource asked for, which rows have enough of it left."""
    for _, column, amount in demand:
        yield (snapshot.allocatable[:, column] - snapshot.used[:, column])[rows] >= amount


def _fill(
    snapshot: Snapshot,
    pod: PodClass,
    count: int,
    rows: Rows,
    fixed: Scores,
    demand: Sequence[tuple[str, int, int]],
) -> list[str]:
    """Take the best node `count` times, or until none has room."""
    chosen, scores = _candidates(snapshot, pod, count, rows, fixed)
    rows, fixed = rows[chosen], fixed[chosen].tolist()
    copies = _room_for(snapshot, rows, demand, 1 if pod.host_ports else count)
    cpu, memory = pod.scored
    spread, room = pod.profile.spread, pod.profile.room
    used: list[list[int]] = snapshot.scored[rows].tolist()
    capacity: list[list[int]] = np.maximum(snapshot.allocatable[rows, :2], 1).tolist()
    here: list[int] = snapshot.owned(pod.owner)[rows].tolist()
    heap = list(zip((-scores).tolist(), range(len(rows)), strict=True))
    heapq.heapify(heap)
    order: list[int] = []
    taken = [0] * len(rows)
    while len(order) < count and heap:
        at = heap[0][1]
        order.append(at)
        taken[at] += 1
        if taken[at] == copies[at]:
            heapq.heappop(heap)
            continue
        busy = used[at]
        busy[0] += cpu
        busy[1] += memory
        here[at] += 1
        worst = min(1.0, max((busy[0] + cpu) / capacity[at][0], (busy[1] + memory) / capacity[at][1]))
        heapq.heapreplace(heap, (-(fixed[at] + spread / (1 + here[at]) + room * (1.0 - worst)), at))
    names = [node.name for node in _at(snapshot, rows)]
    touched = [at for at, pods in enumerate(taken) if pods]
    snapshot.add_many(pod, rows[touched].tolist(), [taken[at] for at in touched])
    return [names[at] for at in order]


def _one_by_one(
    snapshot: Snapshot,
    pod: PodClass,
    count: int,
    rows: Rows,
    fixed: Scores,
    demand: Sequence[tuple[str, int, int]],
) -> list[str]:
    """As `_fill`, looking at the neighbours again for every pod."""
    around, profile = Neighbours(snapshot, pod, rows), pod.profile
    copies = np.array(_room_for(snapshot, rows, demand, 1 if pod.host_ports else count), np.int64)
    used = snapshot.scored[rows].astype(np.float64)
    capacity = np.maximum(snapshot.allocatable[rows, :2], 1)
    here = snapshot.owned(pod.owner)[rows]
    taken = np.zeros(len(rows), np.int64)
    order: list[int] = []
    while len(order) < count:
        possible = around.allowed() & (copies > taken)
        if not possible.any():
            break
        parts = Parts(fixed, profile.spread / (1 + here), _roominess(profile, used + pod.scored, capacity))
        if around.opinionated:
            liked, even = around.scores(possible)
            parts = replace(parts, liked=profile.liked * liked, even=profile.even * even)
        at = int(np.where(possible, parts.total, -np.inf).argmax())
        order.append(at)
        around.take(at)
        taken[at] += 1
        here[at] += 1
        used[at] += pod.scored
    names = [node.name for node in _at(snapshot, rows)]
    touched = np.flatnonzero(taken)
    snapshot.add_many(pod, rows[touched].tolist(), taken[touched].tolist())
    return [names[at] for at in order]


def judged(snapshot: Snapshot, pod: PodClass, rows: Rows) -> Parts:
    """The scores of rows that are allowed, for one pod more, as things stand."""
    profile = pod.profile
    standing = _with_images(snapshot, pod, _standing(snapshot, pod))
    fixed = standing.fixed[np.isin(standing.rows, rows)]
    room = _roominess(profile, snapshot.scored[rows] + pod.scored, np.maximum(snapshot.allocatable[rows, :2], 1))
    parts = Parts(fixed, profile.spread / (1 + snapshot.owned(pod.owner)[rows]), room)
    around = Neighbours(snapshot, pod, rows)
    if not around.opinionated:
        return parts
    liked, even = around.scores(around.allowed())
    return replace(parts, liked=profile.liked * liked, even=profile.even * even)


def _roominess(profile: Profile, used: npt.NDArray[Any], capacity: npt.NDArray[Any]) -> Scores:
    """The room score of (millicores, bytes) that would be used out of what there is."""
    shares: Scores = np.minimum(1.0, used / capacity)
    room: Scores = profile.room * (shares.mean(axis=1) if profile.packs else 1.0 - shares.max(axis=1))
    return room


def _with_images(snapshot: Snapshot, pod: PodClass, standing: Standing) -> Standing:
    """The same with scores for the images that rows have already."""
    total: dict[int, float] = {}
    for image in pod.images:
        rows = snapshot.image_sizes(image)
        share = len(rows) / max(len(snapshot), 1)
        for row, size in rows.items():
            total[row] = total.get(row, 0.0) + size * share
    if not total:
        return standing
    most = _LARGE_IMAGE * len(pod.images)
    here = np.array([total.get(row, 0.0) for row in standing.rows.tolist()], np.float64)
    local = pod.profile.local * (np.clip(here, _SMALL_IMAGE, most) - _SMALL_IMAGE) / (most - _SMALL_IMAGE)
    return Standing(standing.rows, standing.fixed + local, standing.reasons)


def _candidates(snapshot: Snapshot, pod: PodClass, count: int, rows: Rows, fixed: Scores) -> tuple[Rows, Scores]:
    """The `count` best rows as ascending indices into `rows`, and their scores now.

    Nobody else can be chosen: a score only falls, and fewer than `count` rows can have been taken from.
    """
    cpu, memory = (
        (snapshot.scored[:, column] + wanted)[rows] / np.maximum(snapshot.allocatable[:, column], 1)[rows]
        for column, wanted in enumerate(pod.scored)
    )
    worst = np.minimum(1.0, np.maximum(cpu, memory))
    scores = fixed + pod.profile.spread / (1 + snapshot.owned(pod.owner)[rows]) + pod.profile.room * (1.0 - worst)
    if count == 1 and len(rows):
        best = np.array([scores.argmax()], np.intp)
    else:
        best = np.sort(np.argsort(-scores, kind="stable")[:count])
    return best, scores[best]


def _room_for(snapshot: Snapshot, rows: Rows, demand: Iterable[tuple[str, int, int]], most: int) -> list[int]:
    """How many copies each row can take, `most` at the most."""
    copies = np.full(len(rows), most, np.int64)
    for _, column, amount in demand:
        free = snapshot.allocatable[rows, column] - snapshot.used[rows, column]
        copies = np.minimum(copies, free // amount)
    return copies.tolist()


def _fixed(pod: PodClass, node: Node) -> float:
    """The part of a score that does not change as pods are added."""
    total = 0.0
    if pod.node_affinity is not None and pod.node_affinity.preferred:
        weights = sum(term.weight for term in pod.node_affinity.preferred) or 1
        won = sum(
            term.weight for term in pod.node_affinity.preferred if term_matches(term.preference, node.labels, node.name)
        )
        total += pod.profile.preferred * won / weights
    disliked = sum(
        1
        for taint in node.taints
        if taint.effect == "PreferNoSchedule" and not filters.tolerated(taint, pod.tolerations)
    )
    return total - pod.profile.prefer_no * disliked
