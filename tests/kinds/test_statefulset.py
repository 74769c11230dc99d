from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import statefulset

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

KIND = statefulset.KIND
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
FINE: Json = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE, "serviceName": "db"}}
CLAIM = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {}}}


def test_a_stateful_set_is_filled_in(created: Create, change: Create) -> None:
    document = created(KIND, change(FINE, {"spec": {"volumeClaimTemplates": [CLAIM]}}))
    spec = document["spec"]
    assert spec["replicas"] == 1
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    assert (claim["apiVersion"], claim["kind"], claim["spec"]["volumeMode"]) == (
        "v1",
        "PersistentVolumeClaim",
        "Filesystem",
    )
    assert document["status"] == {"replicas": 0, "availableReplicas": 0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"ordinals": {"start": -2}}, "spec.ordinals.start: Invalid value: -2: must be greater than or equal to 0"),
        (
            {"podManagementPolicy": "Random"},
            "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
            'spec.updateStrategy.rollingUpdate: Invalid value: {"partition": 1}: '
            "only allowed for updateStrategy 'RollingUpdate'",
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"partition": -1}}},
            "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "0%"}}},
            'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "0%": cannot be 0',
        ),
        (
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Keep"}},
            "spec.persistentVolumeClaimRetentionPolicy.whenScaled: "
            'Unsupported value: "Keep": supported values: "Delete", "Retain"',
        ),
        (
            {"template": {"spec": {"restartPolicy": "Never"}}},
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
    ],
)
def test_a_stateful_set_may_not_have(changes: Json, expected: str, complaints: Complaints, change: Create) -> None:
    assert complaints(KIND, change(FINE, {"spec": changes})) == [expected]


def test_a_strategy_has_one_of_two_types(complaints: Complaints, change: Create) -> None:
    (found,) = complaints(KIND, change(FINE, {"spec": {"updateStrategy": {"type": "Blue"}}}))
    assert found.endswith("must be 'RollingUpdate' or 'OnDelete'")


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 4},
        {"ordinals": {"start": 3}},
        {"minReadySeconds": 4},
        {"revisionHistoryLimit": 1},
        {"updateStrategy": {"rollingUpdate": {"partition": 2}}},
        {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}},
        {"template": {"spec": {"hostNetwork": True}}},
    ],
)
def test_what_may_change(changes: Json, update_complaints: Complaints) -> None:
    assert update_complaints(KIND, FINE, {"spec": changes}) == []


@pytest.mark.parametrize(
    "changes", [{"serviceName": "other"}, {"podManagementPolicy": "Parallel"}, {"volumeClaimTemplates": [CLAIM]}]
)
def test_what_may_not_change(changes: Json, update_complaints: Complaints) -> None:
    (found,) = update_complaints(KIND, FINE, {"spec": changes})
    assert found.startswith(
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals',"
    )


def test_the_template_may_mount_the_claims_and_nothing_that_is_not_there(
    complaints: Complaints, change: Create
) -> None:
    mounts = [{"name": "data", "mountPath": "/data"}]
    mounting = change(FINE, {"spec": {"volumeClaimTemplates": [CLAIM]}})
    mounting["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = mounts
    assert complaints(KIND, mounting) == []
    (found,) = complaints(KIND, change(mounting, {"spec": {"volumeClaimTemplates": None}}))
    assert found == 'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'
