"""StatefulSets on a real kernel: names, claims, updates and what becomes of it all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, kubelet, world

from motet.controllers.garbage import GarbageCollector
from motet.controllers.statefulset import StatefulSets
from motet.kinds import controllerrevision, event, persistentvolumeclaim, pod, statefulset
from motet.kinds.catalogue import Catalogue

KIND = statefulset.KIND
CLAIMS = persistentvolumeclaim.KIND
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


async def statefulsets(world: World) -> None:
    await StatefulSets(world.client, world.clock, world.events).run()


async def garbage(world: World) -> None:
    await GarbageCollector(world.client, world.clock, Catalogue()).run()


def db(replicas: int = 2, image: str = "v1", **spec: Any) -> dict[str, Any]:
    labels = {"app": "db"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec}
    return {"metadata": {"name": "db", "namespace": "default"}, "spec": spec}


async def change(world: World, **spec: Any) -> None:
    await world.client.patch(KIND, "db", {"spec": spec}, "default")


def images(world: World) -> dict[str, str]:
    return {each["metadata"]["name"]: each["spec"]["containers"][0]["image"] for each in world.all(pod.KIND)}


def status(world: World) -> dict[str, Any]:
    found = world.get(KIND, "db") or {}
    known: dict[str, Any] = found.get("status") or {}
    return known if known.get("observedGeneration") == found["metadata"]["generation"] else {}


def uids(world: World) -> set[str]:
    return {each["metadata"]["uid"] for each in world.all(pod.KIND)}


async def test_pods_get_numbers_and_claims_that_stay(tmp_path: Path) -> None:
    async with world(tmp_path, statefulsets, kubelet) as it:
        await it.create(KIND, db(2, volumeClaimTemplates=[CLAIM]))
        await it.until(lambda: status(it).get("availableReplicas") == 2)
        assert sorted(images(it)) == ["db-0", "db-1"]
        await it.client.patch(KIND, "db", {"spec": {"replicas": 1}}, "default", subresource="scale")
        await it.until(lambda: sorted(images(it)) == ["db-0"] and status(it).get("replicas") == 1)
        assert [each["metadata"]["name"] for each in it.all(CLAIMS)] == ["data-db-0", "data-db-1"]
        await it.events.flush()
        told = {each["message"] for each in it.all(event.KIND)}
        assert "create Claim data-db-0 Pod db-0 in StatefulSet db success" in told
        assert "delete Pod db-1 in StatefulSet db successful" in told


async def test_an_update_and_its_undo(tmp_path: Path) -> None:
    async with world(tmp_path, statefulsets, kubelet) as it:
        await it.create(KIND, db(2))
        await it.until(lambda: status(it).get("currentReplicas") == 2)
        first = status(it)["currentRevision"]
        await change(it, template=db(image="v2")["spec"]["template"])
        await it.until(lambda: status(it).get("currentRevision", first) != first)
        assert set(images(it).values()) == {"v2"}
        await change(it, template=db()["spec"]["template"])
        await it.until(lambda: status(it).get("currentRevision") == first)
        assert set(images(it).values()) == {"v1"}
        assert sorted(each["revision"] for each in it.all(controllerrevision.KIND)) == [2, 3]


async def test_a_canary_stays_one_and_what_is_lost_comes_back_as_it_was(tmp_path: Path) -> None:
    async with world(tmp_path, statefulsets, kubelet) as it:
        await it.create(KIND, db(2, updateStrategy={"rollingUpdate": {"partition": 1}}))
        await it.until(lambda: status(it).get("readyReplicas") == 2)
        await change(it, template=db(image="v2")["spec"]["template"])
        await it.until(lambda: status(it).get("updatedReplicas") == 1 and status(it)["readyReplicas"] == 2)
        before = uids(it)
        await it.client.delete(pod.KIND, "db-0", "default", grace_seconds=0)
        await it.until(lambda: len(uids(it)) == 2 and uids(it) != before and status(it).get("readyReplicas") == 2)
        assert images(it) == {"db-0": "v1", "db-1": "v2"}


async def test_pods_that_are_orphaned_and_taken_again_do_not_restart(tmp_path: Path) -> None:
    async with world(tmp_path, statefulsets, garbage, kubelet) as it:
        await it.create(KIND, db(2))
        await it.until(lambda: status(it).get("readyReplicas") == 2)
        before = uids(it)
        await it.client.delete(KIND, "db", "default", propagation="Orphan")
        await it.until(lambda: it.get(KIND, "db") is None)
        await it.create(KIND, db(2, podManagementPolicy="Parallel"))
        await it.until(lambda: status(it).get("currentReplicas") == 2 and status(it)["updatedReplicas"] == 2)
        assert uids(it) == before
        assert len(it.all(controllerrevision.KIND)) == 1


async def test_claims_go_with_the_pods_that_are_scaled_away_and_with_the_set(tmp_path: Path) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    async with world(tmp_path, statefulsets, garbage, kubelet) as it:
        await it.create(KIND, db(2, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy))
        await it.until(lambda: status(it).get("readyReplicas") == 2)
        await change(it, replicas=1)
        await it.until(lambda: [each["metadata"]["name"] for each in it.all(CLAIMS)] == ["data-db-0"])
        await change(it, replicas=2)
        await it.until(lambda: status(it).get("readyReplicas") == 2 and len(it.all(CLAIMS)) == 2)
        await it.client.delete(KIND, "db", "default")
        await it.until(lambda: not it.all(CLAIMS) and not it.all(pod.KIND))


async def test_a_pod_that_ended_is_made_again_under_its_name(tmp_path: Path) -> None:
    async with world(tmp_path, statefulsets, kubelet) as it:
        await it.create(KIND, db(1))
        await it.until(lambda: status(it).get("readyReplicas") == 1)
        before = uids(it)
        await it.status(pod.KIND, "db-0", {"phase": "Failed"})
        await it.until(lambda: uids(it).isdisjoint(before) and status(it).get("readyReplicas") == 1)
        await it.events.flush()
        assert "StatefulSet default/db is recreating failed Pod db-0" in {e["message"] for e in it.all(event.KIND)}
