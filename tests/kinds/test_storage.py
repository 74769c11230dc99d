from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import persistentvolume, persistentvolumeclaim, storageclass

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

CLAIM: Json = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
VOLUME: Json = {
    "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"}},
}
CLASS: Json = {"provisioner": "motet.dev/local-path"}


def test_claims_volumes_and_classes_are_filled_in(created: Create) -> None:
    claim, volume, made = (
        created(kind, document)
        for kind, document in (
            (persistentvolumeclaim.KIND, CLAIM),
            (persistentvolume.KIND, VOLUME),
            (storageclass.KIND, CLASS),
        )
    )
    assert (claim["spec"]["volumeMode"], claim["status"]) == ("Filesystem", {"phase": "Pending"})
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["hostPath"] == {"path": "/data", "type": ""}
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")


def test_the_least_is_fine(complaints: Complaints) -> None:
    assert complaints(persistentvolumeclaim.KIND, CLAIM) == []
    assert complaints(persistentvolume.KIND, VOLUME) == []
    assert complaints(storageclass.KIND, CLASS) == []


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"accessModes": []}, "spec.accessModes: Required value: at least 1 access mode is required"),
        ({"accessModes": ["Mine"]}, 'spec.accessModes: Unsupported value: "Mine"'),
        (
            {"accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]},
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ),
        ({"resources": None}, "spec.resources[storage]: Required value"),
        (
            {"resources": {"requests": {"storage": "0"}}},
            'spec.resources[storage]: Invalid value: "0": must be greater than zero',
        ),
        ({"volumeMode": "Tape"}, 'spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"'),
    ],
)
def test_a_claim_may_not_have(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    found = complaints(persistentvolumeclaim.KIND, change(CLAIM, {"spec": changes}))
    assert len(found) == 1, found
    assert found[0].startswith(start)


FIXED = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for"


def claim_update(old: Json, changes: Json, change: Create) -> list[str]:
    return [error.message() for error in persistentvolumeclaim.validate(change(old, {"spec": changes}), old)]


def test_a_bound_claim_may_ask_for_more(created: Create, change: Create) -> None:
    old = created(persistentvolumeclaim.KIND, CLAIM)
    old["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    old["spec"]["volumeName"] = "v"
    assert claim_update(old, {"resources": {"requests": {"storage": "2Gi"}}}, change) == []
    assert claim_update(old, {"resources": {"requests": {"storage": "1Mi"}}}, change) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]
    assert claim_update(old, {"volumeName": "w"}, change)[0].startswith(FIXED)


def test_an_unbound_claim_may_be_bound_and_given_a_class(created: Create, change: Create) -> None:
    old = created(persistentvolumeclaim.KIND, CLAIM)
    assert claim_update(old, {"volumeName": "v", "storageClassName": "fast"}, change) == []
    assert claim_update(old, {"resources": {"requests": {"storage": "2Gi"}}}, change)[0].startswith(FIXED)


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"capacity": None}, "spec.capacity: Required value"),
        ({"hostPath": None}, "spec: Required value: must specify a volume type"),
        ({"nfs": {"server": "s", "path": "/"}}, "spec.nfs: Forbidden: may not specify more than 1 volume type"),
        (
            {"hostPath": None, "local": {"path": "/d"}},
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
        ),
        ({"persistentVolumeReclaimPolicy": "Burn"}, 'spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn"'),
        (
            {"nodeAffinity": {"required": {"nodeSelectorTerms": []}}},
            "spec.nodeAffinity.required.nodeSelectorTerms: Required value",
        ),
    ],
)
def test_a_volume_may_not_have(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    found = complaints(persistentvolume.KIND, change(VOLUME, {"spec": changes}))
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_the_source_of_a_volume_does_not_change(update_complaints: Complaints) -> None:
    assert update_complaints(persistentvolume.KIND, VOLUME, {"spec": {"hostPath": {"path": "/other"}}}) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provisioner": "x.y/z"}, "provisioner: Forbidden: updates to provisioner are forbidden."),
        ({"parameters": {"a": "b"}}, "parameters: Forbidden: updates to parameters are forbidden."),
        ({"reclaimPolicy": "Retain"}, "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."),
        (
            {"volumeBindingMode": "WaitForFirstConsumer"},
            'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
        ),
    ],
)
def test_a_class_does_not_change(changes: Json, message: str, update_complaints: Complaints) -> None:
    assert update_complaints(storageclass.KIND, CLASS, changes) == [message]
