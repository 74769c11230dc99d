"""Who would be better off elsewhere: examples, and laws over clusters of any shape."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.builders import classified, node, pod, snapshot

from motet.scheduler import filters
from motet.scheduler.classes import PodClass
from motet.scheduler.rebalance import Candidate, moves, next_move
from motet.scheduler.snapshot import Snapshot


def cluster(nodes: int, *placed: tuple[str, list[int]], pinned: bool = False) -> tuple[Snapshot, list[Candidate]]:
    """`placed` are owners and how many pods each has on n1, n2 ..."""
    made = snapshot(*(node(f"n{number}", pods="100") for number in range(1, nodes + 1)))
    candidates = []
    for owner, counts in placed:
        pod_class: PodClass = classified(pod(owner=owner))
        for number, count in enumerate(counts, 1):
            for each in range(count):
                made.add(f"n{number}", pod_class)
                rules = (filters.chosen(f"n{number}"),) if pinned else ()
                candidates.append(Candidate(f"{owner}-n{number}-{each}", f"n{number}", pod_class, rules))
    return made, candidates


def after(candidates: list[Candidate], owner: str, taken: list[tuple[str, str]]) -> Counter[str]:
    where = {each.name: each.node for each in candidates if each.pod_class.owner == owner}
    where.update({name: target for name, target in taken if name in where})
    return Counter(where.values())


def test_pods_go_from_a_full_node_to_one_that_came() -> None:
    made, candidates = cluster(3, ("web", [3, 3]))
    taken = [(move.candidate.name, move.target) for move in moves(made, candidates)]
    assert [target for _, target in taken] == ["n3", "n3"]
    assert after(candidates, "web", taken) == {"n1": 2, "n2": 2, "n3": 2}


def test_what_lies_evenly_and_what_is_alone_stays() -> None:
    assert next_move(*cluster(3, ("web", [2, 1, 1]), ("db", [1, 0, 0]))) is None


def test_what_a_volume_keeps_in_place_stays() -> None:
    assert next_move(*cluster(2, ("db", [4, 0]), pinned=True)) is None


def test_nobody_goes_to_a_node_that_takes_no_pods() -> None:
    made = snapshot(node("n1"), node("n2", unschedulable=True))
    pod_class = classified(pod(owner="web"))
    for _ in range(4):
        made.add("n1", pod_class)
    assert next_move(made, [Candidate(f"p{each}", "n1", pod_class) for each in range(4)]) is None


@given(st.lists(st.lists(st.integers(0, 6), min_size=4, max_size=4), min_size=1, max_size=3))
def test_law_every_move_evens_things_out_and_in_the_end_they_are_even(shape: list[list[int]]) -> None:
    made, candidates = cluster(4, *((f"o{number}", counts) for number, counts in enumerate(shape)))
    now = {
        f"o{number}": dict(zip(("n1", "n2", "n3", "n4"), counts, strict=True)) for number, counts in enumerate(shape)
    }
    seen = set()
    for move in moves(made, candidates):
        counts = now[move.candidate.pod_class.owner]
        assert counts[move.target] + 2 <= counts[move.candidate.node]
        counts[move.candidate.node] -= 1
        counts[move.target] += 1
        assert move.candidate.name not in seen
        seen.add(move.candidate.name)
    assert all(max(counts.values()) - min(counts.values()) <= 1 for counts in now.values())


@given(st.lists(st.integers(0, 6), min_size=3, max_size=3))
def test_law_a_snapshot_without_a_move_is_left_as_it_was(counts: list[int]) -> None:
    made, candidates = cluster(3, ("web", counts), pinned=True)
    used = made.used.copy()
    assert next_move(made, candidates) is None
    assert (made.used == used).all()
