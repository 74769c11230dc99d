"""What an autoscaler does next, as a plain function of measurements and memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.builders import NOW, view

from motet.controllers import autoscaling
from motet.controllers.autoscaling import AutoscalerView, Measured, Memory, Plan

CPU = "cpu resource utilization (percentage of request)"


def autoscaler(least: int = 1, most: int = 10, **spec: Any) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "h", "generation": 1},
        "spec": {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most, **spec},
    }


def decide(
    body: dict[str, Any], current: int, *measured: Measured, memory: Memory = Memory(), after: float = 0
) -> Plan:
    return autoscaling.decide(view(AutoscalerView, body), current, measured, memory, NOW + timedelta(seconds=after))


def asks(replicas: int) -> Measured:
    return Measured(CPU, replicas, {"type": "Resource"})


def fails(reason: str = "FailedGetResourceMetric") -> Measured:
    return Measured(reason=reason, message="no answer")


def reason(plan: Plan, type: str) -> tuple[str, str]:
    found = next(each for each in plan.status.conditions if each.type == type)
    return found.status, found.reason


def test_it_grows_to_what_the_metric_asks_for() -> None:
    plan = decide(autoscaler(), 2, asks(4))
    assert (plan.replicas, plan.why) == (4, f"{CPU} above target")
    assert reason(plan, "ScalingActive") == ("True", "ValidMetricFound")
    assert autoscaling.told(plan).message == f"New size: 4; reason: {CPU} above target"


def test_the_metric_that_asks_for_most_wins() -> None:
    assert decide(autoscaler(), 2, asks(1), asks(3)).replicas == 3


def test_it_shrinks_only_when_nothing_lately_asked_for_more() -> None:
    first = decide(autoscaler(), 4, asks(2))
    assert first.replicas is None
    assert reason(first, "AbleToScale") == ("True", "ScaleDownStabilized")
    assert decide(autoscaler(), 4, asks(2), memory=first.memory, after=299).replicas is None
    plan = decide(autoscaler(), 4, asks(2), memory=first.memory, after=301)
    assert (plan.replicas, plan.why) == (2, "All metrics below target")


def test_bounds_hold_whatever_is_measured() -> None:
    assert decide(autoscaler(3, 5), 1, asks(1)).replicas == 3
    above = decide(autoscaler(3, 5), 9, asks(9))
    assert (above.replicas, above.why) == (5, "Current number of replicas above Spec.MaxReplicas")
    assert reason(decide(autoscaler(1, 5), 4, asks(9)), "ScalingLimited") == ("True", "TooManyReplicas")


def test_a_target_at_zero_is_left_there() -> None:
    plan = decide(autoscaler(), 0, asks(5))
    assert plan.replicas is None
    assert reason(plan, "ScalingActive") == ("False", "ScalingDisabled")


def test_a_metric_that_cannot_be_read_holds_shrinking_back_but_not_growing() -> None:
    assert decide(autoscaler(), 2, fails(), asks(4)).replicas == 4
    held = decide(autoscaler(), 4, fails(), asks(2), after=1000)
    assert held.replicas is None
    assert reason(held, "ScalingActive") == ("False", "FailedGetResourceMetric")


def test_without_any_metric_nothing_happens_and_it_is_said() -> None:
    plan = decide(autoscaler(), 4, fails())
    assert plan.replicas is None
    assert [told.reason for told in plan.events] == ["FailedGetResourceMetric", "FailedComputeMetricsReplicas"]
    assert plan.events[-1].message == "invalid metrics (1 invalid out of 1), first error is: no answer"


def test_rules_of_its_own_hold_it_back() -> None:
    slow = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}
    first = decide(autoscaler(behavior=slow), 2, asks(9))
    assert first.replicas == 3
    assert decide(autoscaler(behavior=slow), 3, asks(9), memory=first.memory, after=30).replicas is None
    assert decide(autoscaler(behavior=slow), 3, asks(9), memory=first.memory, after=61).replicas == 4


def test_what_came_of_writing_is_in_the_status() -> None:
    plan = decide(autoscaler(), 2, asks(4))
    done = autoscaling.rescaled(plan.status, 4, NOW)
    assert (done.desired_replicas, done.current_replicas, done.last_scale_time is not None) == (4, 2, True)
    refused = autoscaling.rescaled(plan.status, 4, NOW, "forbidden")
    assert (refused.desired_replicas, refused.last_scale_time) == (2, None)
    assert refused.conditions[0].reason == "FailedUpdateScale"


def test_a_conditions_time_moves_only_with_its_status() -> None:
    body = autoscaler()
    first = decide(body, 2, asks(2)).status
    body["status"] = {
        "conditions": [
            {"type": each.type, "status": each.status, "lastTransitionTime": "2020-01-01T00:00:00Z"}
            for each in first.conditions
        ]
    }
    assert {each.last_transition_time for each in decide(body, 2, asks(2)).status.conditions} == {
        "2020-01-01T00:00:00Z"
    }


@settings(max_examples=150)
@given(
    st.integers(1, 5),
    st.integers(5, 20),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 400)), min_size=1, max_size=20),
)
def test_law_it_stays_within_its_bounds_and_rests_when_the_metrics_do(
    least: int, most: int, asked: list[tuple[int, int]]
) -> None:
    body, current, memory, at = autoscaler(least, most), least, Memory(), 0.0
    for replicas, pause in [*asked, *[(asked[-1][0], 400)] * 12]:
        plan = decide(body, current, asks(replicas), memory=memory, after=at)
        memory = plan.memory
        if plan.replicas is not None:
            current = plan.replicas
        assert least <= current <= most
        at += pause
    assert current == min(max(asked[-1][0], least), most)
