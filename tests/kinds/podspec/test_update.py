from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import pod

Json = dict[str, Any]
Complaints = Callable[..., list[str]]
OLD: Json = {"spec": {"containers": [{"name": "c", "image": "i"}], "activeDeadlineSeconds": 10}}
FIXED = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}},
        {"spec": {"activeDeadlineSeconds": 5}},
        {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}},
        {"spec": {"containers": [{"name": "c", "image": "other", "imagePullPolicy": "Always"}]}},
        {"status": {"phase": "Running"}},
    ],
)
def test_a_pod_may_change(changes: Json, update_complaints: Complaints) -> None:
    assert update_complaints(pod.KIND, OLD, changes) == []


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"spec": {"hostname": "x"}}, FIXED),
        ({"spec": {"nodeName": "n1"}}, FIXED),
        ({"spec": {"containers": [{"name": "d", "image": "i", "imagePullPolicy": "Always"}]}}, FIXED),
        ({"spec": {"containers": []}}, "spec.containers: Forbidden: pod updates may not add or remove containers"),
        ({"spec": {"containers": [{"name": "c", "image": ""}]}}, "spec.containers[0].image: Required value"),
        (
            {"spec": {"activeDeadlineSeconds": 11}},
            "spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value",
        ),
        (
            {"spec": {"activeDeadlineSeconds": None}},
            "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
        ),
        (
            {"spec": {"schedulingGates": [{"name": "a"}]}},
            "spec.schedulingGates[0]: Forbidden: only deletion is allowed, but found new scheduling gate 'a'",
        ),
    ],
)
def test_a_pod_may_not_change(changes: Json, start: str, update_complaints: Complaints) -> None:
    found = update_complaints(pod.KIND, OLD, changes)
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_a_toleration_once_given_stays_but_for_its_seconds(update_complaints: Complaints) -> None:
    toleration = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}
    old = {"spec": {**OLD["spec"], "tolerations": [toleration]}}
    assert update_complaints(pod.KIND, old, {"spec": {"tolerations": [{**toleration, "tolerationSeconds": 1}]}}) == []
    gone = update_complaints(pod.KIND, old, {"spec": {"tolerations": []}})
    assert gone == ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]


def test_a_negative_grace_period_may_become_one(update_complaints: Complaints) -> None:
    old = {"spec": {**OLD["spec"], "terminationGracePeriodSeconds": -5}}
    assert update_complaints(pod.KIND, old, {"spec": {"terminationGracePeriodSeconds": 1}}) == []


def test_a_gated_pod_may_be_steered_further(update_complaints: Complaints) -> None:
    old = {"spec": {**OLD["spec"], "schedulingGates": [{"name": "a"}], "nodeSelector": {"x": "y"}}}
    assert update_complaints(pod.KIND, old, {"spec": {"nodeSelector": {"x": "y", "z": "w"}}}) == []
    assert update_complaints(pod.KIND, old, {"spec": {"schedulingGates": None}}) == []
    assert update_complaints(pod.KIND, old, {"spec": {"nodeSelector": {"x": "other"}}}) != []


def test_a_plain_manifest_may_be_put_again(update_complaints: Complaints) -> None:
    assert update_complaints(pod.KIND, OLD, {"spec": {"priority": None, "preemptionPolicy": None}}) == []
