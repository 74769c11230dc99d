"""How fast a size may change: windows and policies, as functions of what happened before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers.builders import NOW

from motet.controllers.scalingrules import (
    Behavior,
    Bounds,
    Change,
    Policy,
    Recommendation,
    Rules,
    limit,
    longest_memory,
    stabilize,
)

BOUNDS = Bounds(1, 100)


def ago(seconds: float, replicas: int) -> Recommendation:
    return Recommendation(NOW - timedelta(seconds=seconds), replicas)


def changed(seconds: float, replicas: int) -> Change:
    return Change(NOW - timedelta(seconds=seconds), replicas)


def test_shrinking_waits_for_five_minutes_of_the_same_opinion() -> None:
    found = stabilize(8, 3, Behavior(), [ago(200, 6), ago(400, 9)], NOW)
    assert (found.replicas, found.reason) == (6, "ScaleDownStabilized")
    assert stabilize(8, 3, Behavior(), [ago(301, 9)], NOW).replicas == 3


def test_growing_waits_only_when_told_to() -> None:
    assert stabilize(3, 8, Behavior(), [ago(10, 4)], NOW).replicas == 8
    patient = Behavior(scale_up=Rules(60))
    found = stabilize(3, 8, patient, [ago(10, 4)], NOW)
    assert (found.replicas, found.reason) == (4, "ScaleUpStabilized")


def test_what_is_said_the_first_time_is_done() -> None:
    assert stabilize(5, 5, Behavior(), [], NOW).reason == "ReadyForNewScale"


@pytest.mark.parametrize(("current", "wanted", "expected"), [(1, 50, 5), (3, 50, 7), (10, 50, 20), (10, 12, 12)])
def test_without_rules_it_doubles_or_adds_four(current: int, wanted: int, expected: int) -> None:
    assert limit(current, wanted, BOUNDS, Behavior(), [], NOW).replicas == expected


def test_a_policys_period_counts_from_the_size_at_its_beginning() -> None:
    slow = Behavior(scale_up=Rules(0, "Max", (Policy("Pods", 2, 60),)))
    found = limit(6, 20, BOUNDS, slow, [changed(30, 2), changed(90, 4)], NOW)
    assert (found.replicas, found.reason) == (6, "ScaleUpLimit")
    assert limit(6, 20, BOUNDS, slow, [changed(61, 2)], NOW).replicas == 8


def test_of_several_policies_one_may_take_the_slowest_or_none() -> None:
    both = (Policy("Pods", 1, 60), Policy("Percent", 50, 60))
    assert limit(10, 1, BOUNDS, Behavior(scale_down=Rules(0, "Max", both)), [], NOW).replicas == 5
    assert limit(10, 1, BOUNDS, Behavior(scale_down=Rules(0, "Min", both)), [], NOW).replicas == 9
    assert limit(10, 1, BOUNDS, Behavior(scale_down=Rules(0, "Disabled", both)), [], NOW).replicas == 10


def test_the_bounds_hold_and_say_so() -> None:
    assert limit(90, 150, BOUNDS, Behavior(), [], NOW).reason == "TooManyReplicas"
    assert limit(2, 0, BOUNDS, Behavior(), [], NOW).reason == "TooFewReplicas"


def test_what_is_remembered_covers_every_window() -> None:
    assert longest_memory(Behavior()) == 300
    assert longest_memory(Behavior(scale_down=Rules(900, "Max", (Policy("Pods", 1, 1200),)))) == 1200


rules = st.builds(
    Rules,
    st.sampled_from([None, 0, 60, 600]),
    st.sampled_from(["Max", "Min", "Disabled"]),
    st.lists(
        st.builds(Policy, st.sampled_from(["Pods", "Percent"]), st.integers(1, 200), st.sampled_from([15, 60, 600])),
        min_size=1,
        max_size=3,
    ).map(tuple),
)
behaviors = st.builds(Behavior, rules, rules)
recommendations = st.lists(st.builds(ago, st.integers(0, 900), st.integers(0, 120)), max_size=6)
changes = st.lists(st.builds(changed, st.integers(0, 900), st.integers(-20, 20)), max_size=6)


@given(st.integers(1, 100), st.integers(0, 200), behaviors, recommendations, changes)
def test_law_it_moves_towards_what_is_wanted_within_the_bounds_or_not_at_all(
    current: int, wanted: int, behavior: Behavior, earlier: list[Recommendation], done: list[Change]
) -> None:
    calm = stabilize(current, wanted, behavior, earlier, NOW).replicas
    assert min(current, wanted) <= calm <= max(current, wanted)
    found = limit(current, calm, BOUNDS, behavior, done, NOW).replicas
    assert 1 <= found <= 100
    assert min(current, calm) <= max(1, found)
    assert found <= max(current, calm)


@given(st.integers(1, 100), st.integers(0, 200), behaviors)
def test_law_what_is_disabled_never_happens(current: int, wanted: int, behavior: Behavior) -> None:
    found = limit(current, wanted, BOUNDS, behavior, [], NOW).replicas
    if behavior.scale_up.select_policy == "Disabled":
        assert found <= current
    if behavior.scale_down.select_policy == "Disabled":
        assert found >= current
