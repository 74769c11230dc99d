"""When a slot whose task ended gets a successor."""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers.app_scenes import task
from tests.controllers.builders import NOW, ago, view

from motet.controllers.apprestarts import Attempt, Next, Verdict, decide
from motet.controllers.appview import Restart, TaskPod

BAD: dict[str, Any] = {"ended": 10, "code": 1}
GOOD: dict[str, Any] = {"ended": 10}


def verdict(*ended: TaskPod, job: bool = False, **policy: Any) -> Verdict:
    return decide(view(Restart, {"delaySeconds": 0, **policy}), ended, NOW, job=job)


@pytest.mark.parametrize(
    ("condition", "how", "found"),
    [
        ("any", GOOD, Next.START),
        ("any", BAD, Next.START),
        ("on-failure", GOOD, Next.DONE),
        ("on-failure", BAD, Next.START),
        ("none", GOOD, Next.DONE),
        ("none", BAD, Next.FAILED),
    ],
)
def test_the_condition_says_after_which_ends(condition: str, how: dict[str, Any], found: Next) -> None:
    assert verdict(task(1, **how), condition=condition).next is found


def test_the_delay_counts_from_the_end() -> None:
    assert verdict(task(1, **BAD), delaySeconds=12.5) == Verdict(Next.WAIT, wait=2.5)
    assert verdict(task(1, **BAD), delaySeconds=10) == Verdict(Next.START, Attempt(1))


def test_attempts_are_counted_along_the_line_of_successors() -> None:
    assert verdict(task(1, **BAD, restarts=1), maxAttempts=2).attempt == Attempt(2)
    assert verdict(task(1, **BAD, restarts=2), maxAttempts=2).next is Next.FAILED


def test_only_attempts_within_the_window_count() -> None:
    rules = {"maxAttempts": 2, "windowSeconds": 60}
    late, early = ago(30), ago(100)
    assert verdict(task(1, **BAD, restarts=9, times=f"{early},{late}"), **rules).attempt == Attempt(10, (late, ago(0)))
    assert verdict(task(1, **BAD, restarts=9, times=f"{late},{ago(20)}"), **rules).next is Next.FAILED


@pytest.mark.parametrize("how", [{"reason": "Evicted"}, {"marked": True}])
def test_what_did_not_end_by_itself_is_replaced_at_once_and_is_no_attempt(how: dict[str, Any]) -> None:
    found = verdict(task(1, **BAD, restarts=2, **how), condition="none", maxAttempts=2, delaySeconds=60)
    assert found == Verdict(Next.START, Attempt(2))


def test_a_job_that_ended_well_once_is_done_whatever_came_later() -> None:
    assert verdict(task(1, **BAD), task(1, **GOOD), job=True, condition="on-failure").next is Next.DONE


def test_a_successor_carries_what_it_is_told() -> None:
    assert Attempt().annotations() == {}
    assert Attempt(2, ("a", "b")).annotations() == {"motet.dev/restarts": "2", "motet.dev/restart-times": "a,b"}
