"""What is known of CSI drivers, where they are and what they attach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import csidriver, csinode, csistoragecapacity, volumeattachment

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

DRIVER: Json = {"metadata": {"name": "disks.example.com"}, "spec": {}}
NODE: Json = {"metadata": {"name": "n1"}, "spec": {"drivers": [{"name": "disks.example.com", "nodeID": "1"}]}}
ATTACHMENT: Json = {
    "spec": {"attacher": "disks.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "v"}},
}
CAPACITY: Json = {"storageClassName": "fast", "capacity": "5Gi"}


def test_a_driver_is_filled_in(created: Create) -> None:
    spec = created(csidriver.KIND, DRIVER)["spec"]
    assert (spec["attachRequired"], spec["podInfoOnMount"], spec["storageCapacity"]) == (True, False, False)
    assert (spec["fsGroupPolicy"], spec["volumeLifecycleModes"]) == ("ReadWriteOnceWithFSType", ["Persistent"])


def test_an_attachment_begins_unattached_whatever_its_author_says(created: Create) -> None:
    claims = {**ATTACHMENT, "status": {"attached": True}}
    assert created(volumeattachment.KIND, claims)["status"] == {"attached": False}


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (csidriver.KIND, DRIVER),
        (csinode.KIND, NODE),
        (volumeattachment.KIND, ATTACHMENT),
        (csistoragecapacity.KIND, CAPACITY),
    ],
)
def test_the_least_is_fine(kind: Any, document: Json, complaints: Complaints) -> None:
    assert complaints(kind, document) == []


@pytest.mark.parametrize(
    ("kind", "document", "start"),
    [
        (csidriver.KIND, {**DRIVER, "metadata": {"name": "x" * 64}}, "metadata.name: Too long"),
        (csidriver.KIND, {**DRIVER, "spec": {"fsGroupPolicy": "All"}}, 'spec.fsGroupPolicy: Unsupported value: "All"'),
        (
            csidriver.KIND,
            {**DRIVER, "spec": {"volumeLifecycleModes": ["Brief"]}},
            'spec.volumeLifecycleModes: Unsupported value: "Brief": supported values: "Ephemeral", "Persistent"',
        ),
        (
            csidriver.KIND,
            {**DRIVER, "spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 5}]}},
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        ),
        (
            csidriver.KIND,
            {**DRIVER, "spec": {"tokenRequests": [{"audience": "a"}, {"audience": "a"}]}},
            'spec.tokenRequests[1].audience: Duplicate value: "a"',
        ),
        (
            csinode.KIND,
            {**NODE, "spec": {"drivers": [{"name": "d", "nodeID": ""}]}},
            "spec.drivers[0].nodeID: Required value",
        ),
        (
            csinode.KIND,
            {**NODE, "spec": {"drivers": [{"name": "d", "nodeID": "1", "allocatable": {"count": -1}}]}},
            "spec.drivers[0].allocatable.count: Invalid value: -1",
        ),
        (
            volumeattachment.KIND,
            {"spec": {"attacher": "d", "nodeName": "n1", "source": {}}},
            "spec.source: Required value: must specify one of inlineVolumeSpec and persistentVolumeName",
        ),
        (volumeattachment.KIND, {"spec": {**ATTACHMENT["spec"], "attacher": ""}}, "spec.attacher: Required value"),
        (csistoragecapacity.KIND, {**CAPACITY, "capacity": "-1"}, 'capacity: Invalid value: "-1"'),
        (csistoragecapacity.KIND, {"storageClassName": "No Class"}, "storageClassName: Invalid value"),
    ],
)
def test_it_may_not_have(kind: Any, document: Json, start: str, complaints: Complaints) -> None:
    found = complaints(kind, document)
    assert len(found) == 1, found
    assert found[0].startswith(start)


@pytest.mark.parametrize(
    ("kind", "document", "changes", "field"),
    [
        (csidriver.KIND, DRIVER, {"spec": {"attachRequired": False}}, "spec.attachRequired"),
        (volumeattachment.KIND, ATTACHMENT, {"spec": {"nodeName": "n2"}}, "spec"),
        (csistoragecapacity.KIND, CAPACITY, {"storageClassName": "slow"}, "storageClassName"),
        (csinode.KIND, NODE, {"spec": {"drivers": [{"name": "disks.example.com", "nodeID": "2"}]}}, "spec.drivers[0]"),
    ],
)
def test_it_stays(kind: Any, document: Json, changes: Json, field: str, update_complaints: Complaints) -> None:
    (found,) = update_complaints(kind, document, changes)
    assert found.startswith(f"{field}: Invalid value")
    assert found.endswith("field is immutable")


def test_what_may_change_changes(update_complaints: Complaints) -> None:
    assert update_complaints(csidriver.KIND, DRIVER, {"spec": {"podInfoOnMount": True}}) == []
    assert update_complaints(csistoragecapacity.KIND, CAPACITY, {"capacity": "1Gi"}) == []
