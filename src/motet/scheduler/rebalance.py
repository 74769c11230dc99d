"""Which pods would be better off elsewhere: pure.

Nothing moves by itself when nodes come; somebody asks. Then a pod moves when the scheduler, asked anew, would put it onto a node
that has at least two fewer pods of the same owner: each move makes the owner's pods lie more evenly, so there is an end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from motet.scheduler import filters
from motet.scheduler.classes import PodClass
from motet.scheduler.place import place
from motet.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that may be moved, on `node`; `filters` are where its volumes let it be."""

    name: str
    node: str
    pod_class: PodClass
    filters: Sequence[filters.Filter] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """`candidate` to node `target`."""

    candidate: Candidate
    target: str


def next_move(snapshot: Snapshot, candidates: Iterable[Candidate]) -> Move | None:
    """The first move worth making, as if it were made: `snapshot` counts the pod on its new node. None when all is even."""
    owners: dict[str, list[Candidate]] = {}
    for each in candidates:
        owners.setdefault(each.pod_class.owner, []).append(each)
    for owner in sorted(owners):
        pods = owners[owner]
        counts = _counts(snapshot, owner)
        # From the fullest node first; of its pods any will do, but always the same.
        for each in sorted(pods, key=lambda pod: (-counts[pod.node], pod.name)):
            if target := _better(snapshot, each, counts):
                return Move(each, target)
    return None


def moves(snapshot: Snapshot, candidates: Sequence[Candidate]) -> Iterator[Move]:
    """All of them, one after the other, as they would be if each replacement went where it is expected."""
    there = {each.name: each for each in candidates}
    while move := next_move(snapshot, there.values()):
        yield move
        # What replaces it has another name and need not move again.
        del there[move.candidate.name]


def _counts(snapshot: Snapshot, owner: str) -> Counter[str]:
    owned = snapshot.owned(owner)
    return Counter({node.name: int(owned[row]) for row, node in snapshot.named()})


def _better(snapshot: Snapshot, pod: Candidate, counts: Counter[str]) -> str:
    """The node that the scheduler would choose now, if that is more even; the pod counts there then."""
    snapshot.remove(pod.node, pod.pod_class)
    chosen = place(snapshot, pod.pod_class, 1, pod.filters).nodes
    if chosen and counts[chosen[0]] + 2 <= counts[pod.node]:
        return chosen[0]
    if chosen:
        snapshot.remove(chosen[0], pod.pod_class)
    snapshot.add(pod.node, pod.pod_class)
    return ""
