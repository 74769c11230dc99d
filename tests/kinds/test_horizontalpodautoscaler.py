from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds import horizontalpodautoscaler, horizontalpodautoscaler_v1

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

KIND, OLD = horizontalpodautoscaler.KIND, horizontalpodautoscaler_v1.KIND
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
FINE: Json = {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 5}}


def resource(name: str = "cpu", **target: Any) -> Json:
    return {"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization", **target}}}


def test_an_autoscaler_is_filled_in(created: Create) -> None:
    spec = created(KIND, FINE)["spec"]
    assert spec["minReplicas"] == 1
    assert spec["metrics"] == [resource(averageUtilization=80)]
    assert "behavior" not in spec


def test_rules_given_in_part_are_completed(created: Create, change: Create) -> None:
    given = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}
    behavior = created(KIND, change(FINE, {"spec": given}))["spec"]["behavior"]
    assert behavior["scaleDown"] == {
        "stabilizationWindowSeconds": 60,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
    assert [policy["type"] for policy in behavior["scaleUp"]["policies"]] == ["Pods", "Percent"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"minReplicas": 0}, "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"),
        ({"minReplicas": 9}, "spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"),
        (
            {"scaleTargetRef": {"name": "a/b"}},
            "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/' or '%'",
        ),
        (
            {"metrics": [resource()]},
            "spec.metrics[0].resource.target.averageUtilization: Required value: "
            "must set either a target raw value or a target utilization",
        ),
        (
            {"metrics": [resource(averageUtilization=0)]},
            "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        ),
        (
            {"metrics": [{"type": "Pods"}]},
            "spec.metrics[0].pods: Required value: must populate information for the given metric source",
        ),
        (
            {"metrics": [{"type": "Luck"}]},
            'spec.metrics[0].type: Unsupported value: "Luck": '
            'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
        ),
        (
            {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601}}},
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
        ),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1}]}}},
            "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
        ),
        (
            {"behavior": {"scaleUp": {"selectPolicy": "Some"}}},
            'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Some": supported values: "Disabled", "Max", "Min"',
        ),
    ],
)
def test_an_autoscaler_may_not_have(changes: Json, expected: str, complaints: Complaints, change: Create) -> None:
    assert complaints(KIND, change(FINE, {"spec": changes})) == [expected]


@pytest.mark.parametrize(
    ("metrics", "current", "shown"),
    [
        ([resource(averageUtilization=80)], [], "cpu: <unknown>/80%"),
        (
            [resource(averageUtilization=80)],
            [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "6m"}},
                }
            ],
            "cpu: 12%/80%",
        ),
        ([resource("memory", averageValue="1Gi")], [], "memory: <unknown>/1Gi"),
        ([resource(averageUtilization=80)] * 4, [], "cpu: <unknown>/80%, cpu: <unknown>/80% + 2 more..."),
    ],
)
def test_kubectl_shows_targets(metrics: list[Json], current: list[Json], shown: str) -> None:
    document = {"spec": {"metrics": metrics}, "status": {"currentMetrics": current}}
    cell = next(column.cell for column in KIND.columns if column.name == "Targets")
    assert cell(document, NOW) == shown


def test_the_older_version_shows_cpu_and_keeps_the_rest(created: Create, change: Create) -> None:
    spec = {
        "metrics": [resource("memory", averageValue="1Gi"), resource(averageUtilization=70)],
        "behavior": {"scaleUp": {}},
    }
    stored = created(KIND, change(FINE, {"spec": spec}))
    stored["status"] = {
        "desiredReplicas": 1,
        "currentReplicas": 1,
        "conditions": [{"type": "AbleToScale", "status": "True"}],
    }
    shown = deepcopy(stored)
    assert OLD.projection is not None
    OLD.projection.read(shown)
    assert shown["apiVersion"] == "autoscaling/v1"
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 70
    assert "metrics" not in shown["spec"]
    OLD.projection.write(shown)
    assert sorted(shown["spec"].pop("metrics"), key=str) == sorted(stored["spec"].pop("metrics"), key=str)
    assert shown == stored


def test_the_older_version_is_enough_to_make_one(created: Create) -> None:
    sent = {**deepcopy(FINE), "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}}
    sent["spec"]["targetCPUUtilizationPercentage"] = 60
    assert OLD.projection is not None
    OLD.projection.write(sent)
    assert created(KIND, sent | {"apiVersion": "autoscaling/v2"})["spec"]["metrics"] == [
        resource(averageUtilization=60)
    ]
