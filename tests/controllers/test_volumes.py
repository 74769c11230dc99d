"""Claims and volumes: who gets which, and what happens at the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.controllers.builders import document, owner, view
from tests.controllers.world import World, world

from motet.controllers import binding
from motet.controllers.binding import ClaimView, ClassView, Do, Node, VolumeView
from motet.controllers.volumes import Volumes, holds
from motet.kinds import event, node, persistentvolume, persistentvolumeclaim, pod, storageclass

WAITS = view(
    ClassView,
    {
        "metadata": {"name": "local-path"},
        "provisioner": binding.PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
    },
)
NODE = Node("n1", {"kubernetes.io/hostname": "n1"})


def claim(
    size: str = "1Gi", modes: tuple[str, ...] = ("ReadWriteOnce",), *, cls: str | None = "", **spec: Any
) -> ClaimView:
    body = {
        "metadata": {"name": "data", "namespace": "default", "uid": "c", "annotations": spec.pop("annotations", {})},
        "spec": {
            "accessModes": list(modes),
            "resources": {"requests": {"storage": size}},
            "storageClassName": cls,
            **spec,
        },
    }
    return view(ClaimView, body)


def volume(name: str, size: str = "1Gi", modes: tuple[str, ...] = ("ReadWriteOnce",), **spec: Any) -> VolumeView:
    meta = {"name": name, "labels": spec.pop("labels", {})}
    return view(
        VolumeView, {"metadata": meta, "spec": {"capacity": {"storage": size}, "accessModes": list(modes), **spec}}
    )


def step(
    claim: ClaimView, *volumes: VolumeView, cls: ClassView | None = None, node: Node | None = None
) -> tuple[Do, str]:
    found = binding.next_step(claim, {each.metadata.name: each for each in volumes}, cls, node)
    return found.do, found.volume.metadata.name if found.volume else found.reason


def test_the_smallest_volume_that_fits_is_taken() -> None:
    assert step(claim("2Gi"), volume("big", "9Gi"), volume("fits", "3Gi"), volume("small", "1Gi")) == (
        Do.RESERVE,
        "fits",
    )


@pytest.mark.parametrize(
    "other",
    [
        volume("v", modes=("ReadOnlyMany",)),
        volume("v", storageClassName="fast"),
        volume("v", volumeMode="Block"),
        volume("v", claimRef={"namespace": "default", "name": "other", "uid": "x"}),
    ],
)
def test_what_differs_in_mode_class_kind_or_owner_does_not_fit(other: VolumeView) -> None:
    assert step(claim(), other) == (Do.WAIT, "FailedBinding")


def test_a_selector_narrows_the_choice() -> None:
    wanted = claim(selector={"matchLabels": {"tier": "gold"}})
    assert step(wanted, volume("a"), volume("b", labels={"tier": "gold"})) == (Do.RESERVE, "b")


def test_a_volume_reserved_by_name_wins_over_a_better_fit() -> None:
    reserved = volume("mine", "9Gi", claimRef={"namespace": "default", "name": "data"})
    assert step(claim(), volume("fits"), reserved) == (Do.RESERVE, "mine")


def test_both_sides_name_each_other_before_it_is_bound() -> None:
    ours = volume("v", claimRef={"namespace": "default", "name": "data", "uid": "c"})
    assert step(claim(), ours) == (Do.TAKE, "v")
    done = claim(volumeName="v", annotations={binding.BIND_COMPLETED: "yes"})
    assert step(done, ours) == (Do.REPORT, "v")
    assert step(done) == (Do.LOSE, "ClaimLost")


def test_a_claim_waits_for_its_first_consumer_and_is_then_provisioned_there() -> None:
    assert step(claim(cls="local-path"), cls=WAITS) == (Do.WAIT, "WaitForFirstConsumer")
    assert step(claim(cls="local-path"), cls=WAITS, node=NODE) == (Do.PROVISION, "")


def test_a_chosen_node_that_vanished_is_given_back() -> None:
    promised = claim(cls="local-path", annotations={binding.SELECTED_NODE: "gone"})
    assert step(promised, cls=WAITS)[0] is Do.GIVE_BACK


def test_a_static_volume_on_the_chosen_node_is_preferred_to_a_new_one() -> None:
    def local(name: str, on: str) -> VolumeView:
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}]}]
        return volume(name, storageClassName="local-path", nodeAffinity={"required": {"nodeSelectorTerms": terms}})

    wanted = claim(cls="local-path")
    assert step(wanted, local("there", "n1"), local("elsewhere", "n2"), cls=WAITS, node=NODE) == (Do.RESERVE, "there")
    assert step(wanted, local("elsewhere", "n2"), cls=WAITS, node=NODE) == (Do.PROVISION, "")


def test_block_devices_and_missing_classes_are_refused_by_name() -> None:
    assert step(claim(cls="local-path", volumeMode="Block"), cls=WAITS, node=NODE) == (Do.WAIT, "ProvisioningFailed")
    assert step(claim(cls="nowhere")) == (Do.WAIT, "ProvisioningFailed")
    copy = claim(cls="local-path", dataSource={"kind": "PersistentVolumeClaim", "name": "old"})
    assert step(copy, cls=WAITS, node=NODE) == (Do.WAIT, "ProvisioningFailed")


def test_an_external_provisioner_is_asked_by_name_and_then_waited_for() -> None:
    theirs = view(ClassView, {"metadata": {"name": "fast"}, "provisioner": "csi.example"})
    assert step(claim(cls="fast"), cls=theirs) == (Do.ASK, "ExternalProvisioning")
    asked = claim(cls="fast", annotations=dict.fromkeys(binding.ASKED, "csi.example"))
    assert step(asked, cls=theirs) == (Do.WAIT, "ExternalProvisioning")


def test_a_provisioned_volume_is_a_directory_on_one_node() -> None:
    made = binding.provisioned(claim(cls="local-path"), WAITS, "n1", "/data/volumes/")
    assert made["spec"]["local"] == {"path": "/data/volumes/pvc-c_default_data"}
    assert binding.chosen_hostnames(view(VolumeView, made)) == ("n1",)
    assert made["spec"]["claimRef"]["uid"] == "c"
    assert binding.LOCAL_PATH_FINALIZER in made["metadata"]["finalizers"]


GROWS = view(ClassView, {"metadata": {"name": "local-path"}, "provisioner": "p", "allowVolumeExpansion": True})


def bound(size: str, *conditions: str, annotations: dict[str, str] | None = None) -> tuple[ClaimView, VolumeView]:
    """A claim that asks for `size`, and its volume of 1Gi."""
    asks = claim(size, cls="local-path", volumeName="v", annotations={binding.BIND_COMPLETED: "yes"})
    status = {"phase": "Bound", "conditions": [{"type": each} for each in conditions]}
    has = {"claimRef": {"namespace": "default", "name": "data", "uid": "c"}, "capacity": {"storage": "1Gi"}}
    meta = {"name": "v", "annotations": annotations or {binding.PROVISIONED_BY: binding.PROVISIONER}}
    return msgspec.structs.replace(asks, status=view(binding.ClaimStatus, status)), view(
        VolumeView, {"metadata": meta, "spec": has}
    )


def test_a_claim_that_asks_for_more_is_told_and_then_its_volume_grows() -> None:
    assert step(*bound("2Gi"), cls=GROWS) == (Do.ANNOUNCE, "v")
    assert step(*bound("2Gi", "Resizing"), cls=GROWS) == (Do.EXPAND, "v")
    assert step(*bound("1Gi", "Resizing"), cls=GROWS) == (Do.REPORT, "v")


def test_nothing_grows_that_may_not_or_that_another_made() -> None:
    assert step(*bound("2Gi"), cls=WAITS) == (Do.REPORT, "v")
    assert step(*bound("2Gi", annotations={binding.PROVISIONED_BY: "x.io/y"}), cls=GROWS) == (Do.DEFER, "v")


def test_what_nobody_can_reclaim_is_said_in_upstreams_words() -> None:
    made = view(VolumeView, {"metadata": {"name": "v", "annotations": {binding.PROVISIONED_BY: "x"}}})
    words = {
        policy: binding.reclaim_failure(volume("v", persistentVolumeReclaimPolicy=policy))[0]
        for policy in ("Delete", "Recycle", "Retain")
    }
    assert words == {"Delete": "VolumeFailedDelete", "Recycle": "VolumeFailedRecycle", "Retain": ""}
    assert binding.reclaim_failure(made) == ("", "")


# On a real kernel.


async def volumes(world: World) -> None:
    await Volumes(world.client, world.clock, world.events, "/data").run()


def phase(it: World, kind: Any, name: str) -> str:
    return str(((it.get(kind, name) or {}).get("status") or {}).get("phase"))


async def claimed(it: World) -> str:
    """A claim bound to a fresh volume on n1; the volume's name."""
    await it.until(lambda: it.get(storageclass.KIND, "local-path"))
    await it.create(node.KIND, {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await it.create(persistentvolumeclaim.KIND, {"metadata": {"name": "data"}, "spec": spec})
    chosen = {"metadata": {"annotations": {binding.SELECTED_NODE: "n1"}}}
    await it.client.patch(persistentvolumeclaim.KIND, "data", chosen, "default")
    await it.until(lambda: phase(it, persistentvolumeclaim.KIND, "data") == "Bound")
    name = str((it.get(persistentvolumeclaim.KIND, "data") or {})["spec"]["volumeName"])
    await it.until(lambda: phase(it, persistentvolume.KIND, name) == "Bound")
    return name


async def test_a_claim_is_bound_to_a_directory_on_the_node_the_scheduler_chose(tmp_path: Path) -> None:
    async with world(tmp_path, volumes) as it:
        name = await claimed(it)
        found = it.get(persistentvolume.KIND, name) or {}
        assert found["spec"]["claimRef"]["name"] == "data"
        status = (it.get(persistentvolumeclaim.KIND, "data") or {})["status"]
        assert status["capacity"] == {"storage": "1Gi"}
        await it.events.flush()
        assert "ProvisioningSucceeded" in {each["reason"] for each in it.all(event.KIND)}


async def test_a_claim_grows_and_is_told_so(tmp_path: Path) -> None:
    async with world(tmp_path, volumes) as it:
        name = await claimed(it)
        more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        await it.client.patch(persistentvolumeclaim.KIND, "data", more, "default")

        def status() -> dict[str, Any]:
            return dict((it.get(persistentvolumeclaim.KIND, "data") or {})["status"])

        await it.until(lambda: status()["capacity"] == {"storage": "2Gi"} and not status().get("conditions"))
        assert (it.get(persistentvolume.KIND, name) or {})["spec"]["capacity"] == {"storage": "2Gi"}
        await it.events.flush()
        assert "VolumeResizeSuccessful" in {each["reason"] for each in it.all(event.KIND)}


async def test_a_released_volume_is_deleted_as_soon_as_its_policy_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, volumes) as it:
        name = await claimed(it)
        keep = {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}
        await it.client.patch(persistentvolume.KIND, name, keep)
        await it.client.delete(persistentvolumeclaim.KIND, "data", "default")
        await it.until(lambda: phase(it, persistentvolume.KIND, name) == "Released")
        await it.client.patch(persistentvolume.KIND, name, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
        await it.until(lambda: (it.get(persistentvolume.KIND, name) or {})["metadata"].get("deletionTimestamp"))


async def test_a_volume_to_be_recycled_fails_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, volumes) as it:
        spec = {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/x"},
            "persistentVolumeReclaimPolicy": "Recycle",
            "claimRef": {"namespace": "default", "name": "gone", "uid": "u"},
        }
        await it.create(persistentvolume.KIND, {"metadata": {"name": "shelf"}, "spec": spec})
        await it.until(lambda: phase(it, persistentvolume.KIND, "shelf") == "Failed")
        status = (it.get(persistentvolume.KIND, "shelf") or {})["status"]
        assert status["message"] == "No recycler plugin found for the volume!"


async def test_a_claim_in_use_stays_until_its_last_pod_is_gone_and_the_agent_has_the_last_word(tmp_path: Path) -> None:
    async with world(tmp_path, volumes) as it:
        name = await claimed(it)
        mounts = {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}
        await it.create(
            pod.KIND,
            {
                "metadata": {"name": "user"},
                "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "volumes": [mounts]},
            },
        )
        await it.client.delete(persistentvolumeclaim.KIND, "data", "default")
        assert it.get(persistentvolumeclaim.KIND, "data")
        await it.client.delete(pod.KIND, "user", "default", grace_seconds=0)
        await it.until(lambda: it.get(persistentvolumeclaim.KIND, "data") is None)

        def left() -> list[str] | None:
            found = it.get(persistentvolume.KIND, name)
            meta = (found or {}).get("metadata") or {}
            return meta["finalizers"] if meta.get("deletionTimestamp") else None

        await it.until(lambda: left() == [binding.LOCAL_PATH_FINALIZER])
        await it.client.patch(persistentvolume.KIND, name, {"metadata": {"finalizers": None}})
        await it.until(lambda: it.get(persistentvolume.KIND, name) is None)


def holding(node_name: str, *, own: bool, phase: str = "Running") -> bool:
    volume = {"ephemeral": {}} if own else {"persistentVolumeClaim": {"claimName": "web-data"}}
    user = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {"nodeName": node_name, "volumes": [{"name": "data", **volume}]},
        "status": {"phase": phase},
    }
    meta = {"name": "web-data", "namespace": "default", "uid": "c"}
    if own:
        meta = meta | {"ownerReferences": [owner("Pod", "web", "u", "v1")]}
    return holds(document("core/pods", user), document("core/persistentvolumeclaims", {"metadata": meta}))


def test_a_claim_is_in_use_by_pods_that_have_a_node_and_have_not_ended() -> None:
    assert holding("n1", own=False)
    assert holding("n1", own=True)
    assert not holding("", own=False)
    assert not holding("n1", own=True, phase="Succeeded")


def test_a_pod_does_not_hold_a_claim_that_only_has_the_name_of_its_own() -> None:
    user = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {"nodeName": "n1", "volumes": [{"name": "data", "ephemeral": {}}]},
    }
    other = {"metadata": {"name": "web-data", "namespace": "default"}}
    assert not holds(document("core/pods", user), document("core/persistentvolumeclaims", other))


async def test_the_data_of_a_vanished_node_is_not_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path, volumes) as it:
        name = await claimed(it)
        await it.client.delete(node.KIND, "n1")
        await it.client.delete(persistentvolumeclaim.KIND, "data", "default")
        await it.until(lambda: it.get(persistentvolume.KIND, name) is None)


async def test_a_static_volume_is_bound_kept_and_released(tmp_path: Path) -> None:
    async with world(tmp_path, volumes) as it:
        spec = {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
        await it.create(persistentvolume.KIND, {"metadata": {"name": "shelf"}, "spec": spec})
        await it.until(lambda: phase(it, persistentvolume.KIND, "shelf") == "Available")
        wanted = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
        }
        await it.create(persistentvolumeclaim.KIND, {"metadata": {"name": "data"}, "spec": wanted})
        await it.until(lambda: phase(it, persistentvolumeclaim.KIND, "data") == "Bound")
        await it.until(lambda: phase(it, persistentvolume.KIND, "shelf") == "Bound")
        await it.client.delete(persistentvolumeclaim.KIND, "data", "default")
        await it.until(lambda: phase(it, persistentvolume.KIND, "shelf") == "Released")


async def test_a_drivers_volume_is_asked_for_by_name_and_is_as_large_as_the_driver_says(tmp_path: Path) -> None:
    async with world(tmp_path, volumes) as it:
        await it.create(
            storageclass.KIND,
            {"metadata": {"name": "fast"}, "provisioner": "csi.example", "allowVolumeExpansion": True},
        )
        wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        data = {"metadata": {"name": "data"}, "spec": {**wanted, "storageClassName": "fast"}}
        await it.create(persistentvolumeclaim.KIND, data)

        def claim() -> dict[str, Any]:
            return it.get(persistentvolumeclaim.KIND, "data") or {}

        await it.until(lambda: set(binding.ASKED) <= set(claim()["metadata"].get("annotations", ())))
        made = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "csi": {"driver": "csi.example", "volumeHandle": "1"},
            "claimRef": {"namespace": "default", "name": "data", "uid": claim()["metadata"]["uid"]},
        }
        marks = {"annotations": {binding.PROVISIONED_BY: "csi.example"}}
        await it.create(persistentvolume.KIND, {"metadata": {"name": "v", **marks}, "spec": made})
        await it.until(lambda: phase(it, persistentvolumeclaim.KIND, "data") == "Bound")
        assert claim()["status"]["capacity"] == {"storage": "1Gi"}
        # Its resizer has made the volume larger; the file system on it is for the node to grow.
        await it.client.patch(persistentvolume.KIND, "v", {"spec": {"capacity": {"storage": "2Gi"}}})
        more = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
        await it.client.patch(persistentvolumeclaim.KIND, "data", more, "default")

        async def deferred() -> bool:
            await it.events.flush()
            return "ExternalExpanding" in {each["reason"] for each in it.all(event.KIND)}

        while not await deferred():
            await asyncio.sleep(0.01)
        assert claim()["status"]["capacity"] == {"storage": "1Gi"}
