from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import deployment, replicaset
from motet.kinds.kind import Kind

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
FINE: Json = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}
BOTH = pytest.mark.parametrize("kind", [deployment.KIND, replicaset.KIND], ids=["deployment", "replicaset"])


def test_a_deployment_is_filled_in(created: Create) -> None:
    spec = created(deployment.KIND, FINE)["spec"]
    assert {key: spec[key] for key in spec if key not in ("template", "selector")} == {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    }


def test_recreating_needs_no_rolling_parameters(created: Create, change: Create) -> None:
    document = created(deployment.KIND, change(FINE, {"spec": {"strategy": {"type": "Recreate"}}}))
    assert document["spec"]["strategy"] == {"type": "Recreate"}


def test_zero_replicas_are_kept(created: Create, change: Create) -> None:
    assert created(replicaset.KIND, change(FINE, {"spec": {"replicas": 0}}))["spec"]["replicas"] == 0


@BOTH
def test_the_least_is_fine(kind: Kind, complaints: Complaints) -> None:
    assert complaints(kind, FINE) == []


@BOTH
@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"minReadySeconds": -1}, "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"selector": {"matchLabels": {"a": "c"}}},
            'spec.template.metadata.labels: Invalid value: {"a": "b"}: `selector` does not match template `labels`',
        ),
        ({"selector": {"matchLabels": None}}, "spec.selector: Invalid value: {}: empty selector is invalid for"),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In'",
        ),
        (
            {"template": {"spec": {"restartPolicy": "Never"}}},
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
        (
            {"template": {"spec": {"activeDeadlineSeconds": 5}}},
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in",
        ),
        (
            {"template": {"metadata": {"annotations": {"a b": "c"}}}},
            "spec.template.metadata.annotations: Invalid value",
        ),
    ],
)
def test_a_workload_may_not_have(kind: Kind, changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    found = complaints(kind, change(FINE, {"spec": changes}))
    assert len(found) == 1, found
    assert found[0].startswith(start)


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        ({"strategy": {"type": "Blue"}}, 'spec.strategy.type: Unsupported value: "Blue": supported values: "Recreate"'),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
        ),
        (
            {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": "half"}}},
            'spec.strategy.rollingUpdate.maxSurge: Invalid value: "half": a valid percent string must be a numeric',
        ),
        (
            {"progressDeadlineSeconds": 10, "minReadySeconds": 10},
            "spec.progressDeadlineSeconds: Invalid value: 10: must be greater than minReadySeconds",
        ),
    ],
)
def test_a_deployment_may_not_have(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    found = complaints(deployment.KIND, change(FINE, {"spec": changes}))
    assert len(found) == 1, found
    assert found[0].startswith(start)


@BOTH
def test_the_selector_does_not_change(kind: Kind, update_complaints: Complaints, change: Create) -> None:
    wider = change(FINE, {"spec": {"template": {"metadata": {"labels": {"c": "d"}}}}})
    found = update_complaints(kind, wider, {"spec": {"selector": {"matchLabels": {"c": "d"}}}})
    assert found == ['spec.selector: Invalid value: {"matchLabels": {"a": "b", "c": "d"}}: field is immutable']


@BOTH
def test_the_scale_shows_the_selector_as_text(kind: Kind) -> None:
    assert kind.scale is not None
    assert kind.scale.selector(FINE) == "a=b"
