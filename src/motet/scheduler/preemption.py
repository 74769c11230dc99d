"""Making room: which pods of lower priority must go so that one of a higher priority fits somewhere (Kubernetes "Pod
Priority and Preemption").

Pure but for the books: a node is judged by taking pods out of the snapshot and putting them back, so that every rule of
placing holds here without being written a second time. The snapshot is the same afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from motet.scheduler import filters
from motet.scheduler.classes import PodClass
from motet.scheduler.place import allowed, suits
from motet.scheduler.snapshot import Snapshot

# Nodes that are looked at in full before the best of them is taken, as upstream.
_MOST_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Occupant:
    """A pod on a node. `started` is RFC 3339, `budgets` the disruption budgets that cover it."""

    uid: str
    pod_class: PodClass
    started: str = ""
    budgets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Eviction:
    """The node to nominate, and who has to leave it (nobody: those in the way are on their way out already)."""

    node: str
    victims: tuple[Occupant, ...]


@dataclass(frozen=True, slots=True)
class _Reversed:
    """Compares the other way round: where only the age decides, the node whose victims started last."""

    text: str

    def __lt__(self, other: _Reversed) -> bool:
        return self.text > other.text


# Budgets broken, the highest priority hit, all priorities together, how many pods, and since when.
_Cost = tuple[int, int, int, int, _Reversed]


@dataclass(frozen=True, slots=True)
class _Candidate:
    eviction: Eviction
    cost: _Cost


def decide(
    snapshot: Snapshot,
    pod: PodClass,
    extra: Sequence[filters.Filter],
    occupants: Callable[[str], Iterable[Occupant]],
    allowances: Mapping[str, int],
) -> Eviction | None:
    """The least harmful eviction that lets `pod` in, or None.

    `extra` are the filters of this pod alone, `occupants` gives the pods of a node that may be considered, and `allowances`
    how many disruptions each budget has left: a budget is only broken where nothing else helps.
    """
    best: _Candidate | None = None
    seen = 0
    for row in allowed(snapshot, pod, extra).tolist():
        node = snapshot.nodes[row]
        assert node is not None
        lower = [each for each in occupants(node.name) if each.pod_class.priority < pod.priority]
        if not lower:
            continue
        found = _on_node(snapshot, pod, row, node.name, lower, allowances)
        if found is None:
            continue
        if best is None or found.cost < best.cost:
            best = found
        seen += 1
        if seen >= _MOST_CANDIDATES or not found.eviction.victims:
            break
    return best.eviction if best is not None else None


def _on_node(
    snapshot: Snapshot,
    pod: PodClass,
    row: int,
    name: str,
    lower: Sequence[Occupant],
    allowances: Mapping[str, int],
) -> _Candidate | None:
    """Who has to leave one node: all of lower priority but those that can stay after all, the most important first."""
    victims: list[Occupant] = []
    for each in lower:
        snapshot.remove(name, each.pod_class)
    gone = list(lower)
    try:
        if not suits(snapshot, pod, row):
            return None
        breaking, others = _by_budget(sorted(lower, key=_importance), allowances)
        for each in (*breaking, *others):
            snapshot.add(name, each.pod_class)
            gone.remove(each)
            if not suits(snapshot, pod, row):
                snapshot.remove(name, each.pod_class)
                gone.append(each)
                victims.append(each)
        broken = sum(each in breaking for each in victims)
    finally:
        for each in gone:
            snapshot.add(name, each.pod_class)
    return _Candidate(
        Eviction(name, tuple(each for each in victims if not each.pod_class.leaving)), _cost(victims, broken)
    )


def _importance(each: Occupant) -> tuple[object, ...]:
    """Who may stay is asked in this order: not those that leave anyway, high priority and long service first."""
    return (each.pod_class.leaving, -each.pod_class.priority, each.started or "~", each.uid)


def _by_budget(ordered: Iterable[Occupant], allowances: Mapping[str, int]) -> tuple[list[Occupant], list[Occupant]]:
    """Those whose going would break a budget, counting those before them, and the others."""
    left = dict(allowances)
    breaking: list[Occupant] = []
    others: list[Occupant] = []
    for each in ordered:
        for budget in each.budgets:
            left[budget] = left.get(budget, 0) - 1
        broken = any(left[budget] < 0 for budget in each.budgets) and not each.pod_class.leaving
        (breaking if broken else others).append(each)
    return breaking, others


def _cost(victims: Sequence[Occupant], broken: int) -> _Cost:
    """Least first: budgets broken, the highest priority hit, priorities together, how many; then the youngest go."""
    real = [each for each in victims if not each.pod_class.leaving]
    priorities = [each.pod_class.priority for each in real]
    highest = max(priorities, default=-(2**31))
    # Priorities may be below zero: lifted, so that one pod more always costs something.
    together = sum(priority + 2**31 for priority in priorities)
    oldest = min((each.started for each in real if each.pod_class.priority == highest), default="")
    return broken, highest, together, len(real), _Reversed(oldest)
