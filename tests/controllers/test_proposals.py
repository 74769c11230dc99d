"""How many pods a metric asks for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import NOW, view

from motet.controllers.proposals import Goal, NoMetrics, Proposal, Sample, ScaledPod, Tolerances, propose

HALF = Goal(utilization=50)


def pod(
    name: str,
    request: str | None = "1",
    *,
    ready: float | None = 1000,
    phase: str = "Running",
    age: float = 2000,
    **options: Any,
) -> ScaledPod:
    body = builders.pod(name, ready=ready, phase=phase, **options)
    body["spec"]["containers"] = [{"name": "c", "resources": {"requests": {"cpu": request}} if request else {}}]
    body["status"]["startTime"] = builders.ago(age)
    return view(ScaledPod, body)


def using(**millis: int) -> dict[str, Sample]:
    return {name: Sample(value, NOW - timedelta(seconds=5), 15) for name, value in millis.items()}


def wanted(current: int, pods: list[ScaledPod], samples: dict[str, Sample], goal: Goal = HALF, **options: Any) -> int:
    return propose(current, pods, samples, goal, options.pop("resource", "cpu"), NOW, **options).replicas


def pods(count: int, **options: Any) -> list[ScaledPod]:
    return [pod(f"p{number}", **options) for number in range(count)]


def test_twice_the_usage_asks_for_twice_the_pods() -> None:
    found = propose(2, pods(2), using(p0=1000, p1=1000), HALF, "cpu", NOW)
    assert found == Proposal(4, 100, 1000)


def test_half_the_usage_asks_for_half_the_pods() -> None:
    assert wanted(4, pods(4), using(p0=250, p1=250, p2=250, p3=250)) == 2


def test_near_enough_changes_nothing() -> None:
    assert wanted(2, pods(2), using(p0=540, p1=540)) == 2
    assert wanted(2, pods(2), using(p0=540, p1=540), tolerances=Tolerances(0.05, 0.05)) == 3


def test_an_average_value_needs_no_requests() -> None:
    found = propose(2, pods(2, request=None), using(p0=300, p1=300), Goal(value=100), "cpu", NOW)
    assert found == Proposal(6, None, 300)


def test_a_pod_without_metrics_counts_as_idle_when_growing_and_as_busy_when_shrinking() -> None:
    assert wanted(3, pods(3), using(p0=1000, p1=1000)) == 4
    assert wanted(3, pods(3), using(p0=100, p1=100)) == 3


def test_a_pod_that_is_not_ready_yet_counts_as_idle_when_growing() -> None:
    young = pod("young", ready=None, age=10)
    assert wanted(2, [*pods(1), young], using(p0=1000, young=9000)) == 2


def test_what_a_pod_used_before_it_was_ready_is_not_counted() -> None:
    started = [*pods(1), pod("started", ready=8, age=60)]
    assert wanted(2, started, using(p0=1500, started=9000)) == 3


def test_pods_on_their_way_out_and_failed_ones_do_not_count() -> None:
    going = [*pods(1), pod("leaving", deleting=True), pod("failed", phase="Failed")]
    assert wanted(1, going, using(p0=1000, leaving=9000, failed=9000)) == 2


def test_memory_is_not_judged_by_how_long_a_pod_has_been_ready() -> None:
    young = [pod("p0", ready=1, age=5)]
    assert wanted(1, young, using(p0=2000), Goal(value=1000), resource="memory") == 2


@pytest.mark.parametrize(
    ("found", "samples", "problem"),
    [
        ([], {}, "no pods returned by selector"),
        (pods(1), {}, "did not receive metrics for targeted pods"),
        (pods(1, request=None), using(p0=1), "missing request for cpu in container c of Pod p0"),
    ],
)
def test_what_cannot_be_computed_is_explained(found: list[ScaledPod], samples: dict[str, Sample], problem: str) -> None:
    with pytest.raises(NoMetrics, match=problem):
        wanted(1, found, samples)


@given(
    st.integers(1, 30),
    st.lists(st.integers(0, 4000) | st.none(), min_size=1, max_size=30),
    st.integers(1, 150),
)
def test_law_more_usage_never_asks_for_fewer_pods(current: int, usage: list[int | None], goal: int) -> None:
    there = pods(len(usage))
    samples = using(**{f"p{number}": value for number, value in enumerate(usage) if value is not None})
    if not samples:
        return
    now = wanted(current, there, samples, Goal(goal))
    busier = {name: Sample(sample.value + 1000, sample.at, sample.window) for name, sample in samples.items()}
    if len(samples) == len(usage) == current:
        assert wanted(current, there, busier, Goal(goal)) >= now


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=30), st.integers(1, 150))
def test_law_as_many_pods_as_asked_for_would_be_near_the_goal(usage: list[int], goal: int) -> None:
    there = pods(len(usage))
    found = wanted(len(usage), there, using(**{f"p{number}": value for number, value in enumerate(usage)}), Goal(goal))
    if found != len(usage):  # percents are whole, so a pod's share may be off by one
        assert sum(usage) / 10 <= goal * found + len(usage)
