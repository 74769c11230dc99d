"""How many volumes a node takes, and whether there is room for a new one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.scheduler.builders import classified, document, snapshot
from tests.scheduler.builders import node as a_node

from motet.scheduler.claims import Storage
from motet.scheduler.classes import PodClass
from motet.scheduler.csi import Drivers
from motet.scheduler.place import place
from motet.store.table import Table

Json = dict[str, Any]
DISK = "disk.example.com"


def table(resource: str, *bodies: Json) -> Table:
    made = Table(resource)
    for body in bodies:
        found = document(resource, body)
        made.apply(found.key, found, 1)
    return made


def claim(name: str, volume: str = "", storage_class: str = "late", size: str = "1Gi") -> Json:
    spec = {
        "volumeName": volume,
        "storageClassName": storage_class,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    phase = "Bound" if volume else "Pending"
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec, "status": {"phase": phase}}


def volume(name: str, driver: str = DISK) -> Json:
    return {"metadata": {"name": name}, "spec": {"csi": {"driver": driver, "volumeHandle": f"handle-{name}"}}}


def csi_node(name: str, count: int | None, driver: str = DISK) -> Json:
    allocatable = {"allocatable": {"count": count}} if count is not None else {}
    return {"metadata": {"name": name}, "spec": {"drivers": [{"name": driver, "nodeID": name, **allocatable}]}}


def attachment(node: str, volume: str) -> Json:
    spec = {"attacher": DISK, "nodeName": node, "source": {"persistentVolumeName": volume}}
    return {"metadata": {"name": f"{node}-{volume}"}, "spec": spec}


def capacity(zone: str, room: str, **more: Any) -> Json:
    return {
        "metadata": {"name": f"in-{zone}", "namespace": "kube-system"},
        "storageClassName": "late",
        "nodeTopology": {"matchLabels": {"zone": zone}},
        "capacity": room,
        **more,
    }


def storage(
    claims: list[Json],
    *,
    volumes: tuple[str, ...] = ("v0", "v1", "v2", "v3"),
    nodes: tuple[Json, ...] = (),
    capacities: tuple[Json, ...] = (),
    attachments: tuple[Json, ...] = (),
    tells: bool = True,
    needed: bool = False,
) -> Storage:
    late = {"metadata": {"name": "late"}, "provisioner": DISK, "volumeBindingMode": "WaitForFirstConsumer"}
    driver = {"metadata": {"name": DISK}, "spec": {"storageCapacity": tells, "preventPodSchedulingIfMissing": needed}}
    return Storage(
        table("core/persistentvolumeclaims", *claims),
        table("core/persistentvolumes", *map(volume, volumes)),
        table("storage.k8s.io/storageclasses", late),
        Drivers(
            table("storage.k8s.io/csinodes", *nodes),
            table("storage.k8s.io/csidrivers", driver),
            table("storage.k8s.io/csistoragecapacities", *capacities),
            table("storage.k8s.io/volumeattachments", *attachments),
        ),
    )


def mounting(*names: str) -> PodClass:
    return classified(volumes=[{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names])


FULL = "node(s) exceed max volume count"


def test_a_node_takes_as_many_volumes_as_its_driver_says() -> None:
    found = snapshot(a_node("n1"))
    tables = storage([claim(f"c{n}", f"v{n}") for n in range(3)], nodes=(csi_node("n1", 2),), tells=False)
    for number, fits in ((0, True), (1, True), (2, False)):
        pod = mounting(f"c{number}")
        placed = place(found, pod, 1, tables.of(pod, {}).filters)
        assert bool(placed.nodes) is fits
    assert FULL in str(placed.refusal)


def test_a_volume_that_is_there_already_takes_no_more_room() -> None:
    found = snapshot(a_node("n1"))
    tables = storage([claim("c0", "v0")], nodes=(csi_node("n1", 1),))
    for _ in range(3):
        pod = mounting("c0")
        assert place(found, pod, 1, tables.of(pod, {}).filters).nodes == ["n1"]


def test_a_volume_counts_until_its_pod_is_gone() -> None:
    found = snapshot(a_node("n1"))
    tables = storage([claim("c0", "v0"), claim("c1", "v1")], nodes=(csi_node("n1", 1),))
    first, second = mounting("c0"), mounting("c1")
    found.add("n1", first)
    assert not place(found, second, 1, tables.of(second, {}).filters).nodes
    found.remove("n1", first)
    assert place(found, second, 1, tables.of(second, {}).filters).nodes == ["n1"]


def test_a_volume_that_is_attached_still_counts_without_a_pod() -> None:
    found, pod = snapshot(a_node("n1"), a_node("n2")), mounting("c0")
    tables = storage(
        [claim("c0", "v0")], nodes=(csi_node("n1", 1), csi_node("n2", 1)), attachments=(attachment("n1", "v1"),)
    )
    assert place(found, pod, 1, tables.of(pod, {}).filters).nodes == ["n2"]


def test_volumes_to_be_made_count_too() -> None:
    found, pod = snapshot(a_node("n1")), mounting("new", "newer")
    tables = storage([claim("new"), claim("newer")], nodes=(csi_node("n1", 1),), tells=False)
    assert FULL in str(place(found, pod, 1, tables.of(pod, {}).filters).refusal)


@pytest.mark.parametrize("node", [csi_node("n1", None), csi_node("n1", 0, "other.example.com"), csi_node("n2", 0)])
def test_a_driver_that_names_no_number_takes_any(node: Json) -> None:
    found, pod = snapshot(a_node("n1")), mounting("c0")
    tables = storage([claim("c0", "v0")], nodes=(node,))
    assert place(found, pod, 1, tables.of(pod, {}).filters).nodes == ["n1"]


def test_a_driver_may_keep_its_pods_from_nodes_that_lack_it() -> None:
    found, pod = snapshot(a_node("n1"), a_node("n2")), mounting("c0")
    tables = storage([claim("c0", "v0")], nodes=(csi_node("n2", None),), needed=True)
    assert place(found, pod, 1, tables.of(pod, {}).filters).nodes == ["n2"]


@pytest.mark.parametrize(
    ("capacities", "node"),
    [
        ((capacity("a", "10Gi"), capacity("b", "1Gi")), "n1"),
        ((capacity("a", "1Gi"), capacity("b", "10Gi")), "n2"),
        ((capacity("a", "90Gi", maximumVolumeSize="1Gi"), capacity("b", "10Gi")), "n2"),
        ((capacity("a", "1Gi"),), ""),
        ((capacity("a", "10Gi", storageClassName="another"),), ""),
        ((), ""),
    ],
)
def test_a_new_volume_is_made_where_there_is_room(capacities: tuple[Json, ...], node: str) -> None:
    found, pod = snapshot(a_node("n1", labels={"zone": "a"}), a_node("n2", labels={"zone": "b"})), mounting("new")
    placed = place(found, pod, 1, storage([claim("new", size="5Gi")], capacities=capacities).of(pod, {}).filters)
    assert list(placed.nodes) == ([node] if node else [])
    if not node:
        assert "node(s) did not have enough free storage" in str(placed.refusal)


def test_a_driver_that_does_not_tell_has_room_everywhere() -> None:
    found, pod = snapshot(a_node("n1")), mounting("new")
    assert place(found, pod, 1, storage([claim("new")], tells=False).of(pod, {}).filters).nodes == ["n1"]
