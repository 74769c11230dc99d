"""Why a task has no node, in Swarm's words and the scheduler's."""

from __future__ import annotations

import pytest

from motet.dialects.docker import unplaced
from motet.scheduler.place import Refusal

ELSEWHERE = "node(s) didn't match Pod's node affinity/selector"
TAINTED = "node(s) had untolerated taint {motet.dev/drain: }"


@pytest.mark.parametrize(
    ("nodes", "reasons", "words"),
    [
        (1, {"Insufficient cpu": 1}, "insufficient resources on 1 node"),
        # Each of the three lacks the one or the other or both, and counts once.
        (3, {"Insufficient cpu": 2, "Insufficient memory": 2}, "insufficient resources on 3 nodes"),
        (2, {"Too many pods": 2}, "insufficient resources on 2 nodes"),
        (
            3,
            {ELSEWHERE: 2, "Insufficient example.com/gpu": 1},
            "scheduling constraints not satisfied on 2 nodes; insufficient resources on 1 node",
        ),
        (2, {TAINTED: 1, "node(s) were unschedulable": 1}, "2 nodes not available for new tasks"),
        (
            1,
            {"node(s) didn't have free ports for the requested pod ports": 1},
            "host-mode port already in use on 1 node",
        ),
        (1, {"node(s) had volume node affinity conflict": 1}, "1 node(s) had volume node affinity conflict"),
    ],
)
def test_a_refusal_is_told_in_both_words(nodes: int, reasons: dict[str, int], words: str) -> None:
    message = str(Refusal(nodes, tuple(sorted(reasons.items()))))
    assert unplaced.said(message) == f"no suitable node ({words}): {message}"


@pytest.mark.parametrize("message", ["", "no nodes available to schedule pods", "ErrImagePull: no such image"])
def test_anything_else_stays_as_it_is(message: str) -> None:
    assert unplaced.said(message) == message
