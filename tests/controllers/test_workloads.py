"""Deployments and ReplicaSets on a real kernel: the loops, their writes and their words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.controllers.world import World, kubelet, world

from motet.base.errors import Forbidden, namespace_terminates
from motet.controllers.deployment import Deployments
from motet.controllers.replicaset import ReplicaSets
from motet.kinds import deployment, event, namespace, pod, replicaset
from motet.kinds.kind import Kind


async def replicasets(world: World) -> None:
    await ReplicaSets(world.client, world.clock, world.events).run()


async def deployments(world: World) -> None:
    await Deployments(world.client, world.clock, world.events).run()


def web(replicas: int = 3, image: str = "v1", **spec: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


def complete(world: World, replicas: int) -> bool:
    found = world.get(deployment.KIND, "web") or {}
    status = found.get("status") or {}
    reasons = {condition["reason"] for condition in status.get("conditions") or ()}
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")] == [replicas] * 3
        and "NewReplicaSetAvailable" in reasons
    )


def images(world: World) -> set[str]:
    return {each["spec"]["containers"][0]["image"] for each in world.all(pod.KIND)}


async def test_a_deployment_becomes_pods_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, deployments, replicasets, kubelet) as it:
        await it.create(deployment.KIND, web(3))
        await it.until(lambda: complete(it, 3))
        (rs,) = it.all(replicaset.KIND)
        assert len(it.all(pod.KIND)) == 3
        assert rs["metadata"]["ownerReferences"][0]["name"] == "web"
        assert rs["status"]["availableReplicas"] == 3


async def test_a_new_image_rolls_without_losing_availability(tmp_path: Path) -> None:
    async with world(tmp_path, deployments, replicasets, kubelet) as it:
        await it.create(deployment.KIND, web(4, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}))
        await it.until(lambda: complete(it, 4))
        patch = {"spec": web(4, "v2")["spec"]}
        await it.client.patch(deployment.KIND, "web", patch, "default")
        least = 4

        def rolled() -> bool:
            nonlocal least
            live = [each for each in it.all(pod.KIND) if not each["metadata"].get("deletionTimestamp")]
            least = min(least, sum(bool((each.get("status") or {}).get("podIP")) for each in live))
            return complete(it, 4) and images(it) == {"v2"}

        await it.until(rolled)
        assert least >= 4
        found = it.get(deployment.KIND, "web") or {}
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def test_a_deleted_pod_is_replaced(tmp_path: Path) -> None:
    async with world(tmp_path, replicasets, kubelet) as it:
        body = web(2)
        await it.create(replicaset.KIND, body)
        await it.until(lambda: ((it.get(replicaset.KIND, "web") or {}).get("status") or {}).get("readyReplicas") == 2)
        victim = it.all(pod.KIND)[0]["metadata"]
        await it.client.delete(pod.KIND, victim["name"], "default", grace_seconds=0)
        await it.until(lambda: victim["uid"] not in {each["metadata"]["uid"] for each in it.all(pod.KIND)})
        await it.until(lambda: len(it.all(pod.KIND)) == 2)


async def test_a_matching_orphan_is_adopted_and_a_relabelled_pod_let_go(tmp_path: Path) -> None:
    async with world(tmp_path, replicasets) as it:
        orphan = {"metadata": {"name": "stray", "labels": {"app": "web"}}, "spec": web()["spec"]["template"]["spec"]}
        await it.create(pod.KIND, orphan)
        await it.create(replicaset.KIND, web(1))
        await it.until(lambda: (it.get(pod.KIND, "stray") or {})["metadata"].get("ownerReferences"))
        await it.client.patch(pod.KIND, "stray", {"metadata": {"labels": {"app": "debug"}}}, "default")
        await it.until(lambda: not (it.get(pod.KIND, "stray") or {})["metadata"].get("ownerReferences"))
        await it.until(lambda: len(it.all(pod.KIND)) == 2)


async def test_pods_that_are_refused_show_as_a_condition_until_they_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, deployments, replicasets) as it:
        create, refused = it.client.create, 0

        async def refuse(kind: Kind, document: dict[str, Any], namespace: str = "") -> Any:
            nonlocal refused
            if kind is pod.KIND and refused < 4:
                refused += 1
                raise Forbidden("exceeded quota: small")
            return await create(kind, document, namespace)

        monkeypatch.setattr(it.client, "create", refuse)
        await it.create(deployment.KIND, web(2))

        def failure() -> str:
            conditions = ((it.get(deployment.KIND, "web") or {}).get("status") or {}).get("conditions") or ()
            return next((each["message"] for each in conditions if each["type"] == "ReplicaFailure"), "")

        await it.until(lambda: failure() == "exceeded quota: small")
        await it.until(lambda: len(it.all(pod.KIND)) == 2 and not failure())


async def test_a_set_in_a_namespace_that_is_being_deleted_makes_nothing_and_complains_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path, replicasets) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "going"}})
        body = web(1)
        body["metadata"]["namespace"] = "going"
        await it.create(replicaset.KIND, body, "going")
        (made,) = await it.until(lambda: it.all(pod.KIND))
        create, refused = it.client.create, 0

        async def counted(kind: Kind, document: dict[str, Any], namespace: str = "") -> Any:
            nonlocal refused
            try:
                return await create(kind, document, namespace)
            except Forbidden as error:
                refused += namespace_terminates(error)
                raise

        monkeypatch.setattr(it.client, "create", counted)
        await it.client.delete(namespace.KIND, "going")
        await it.client.delete(pod.KIND, made["metadata"]["name"], "going", grace_seconds=0)
        await it.until(lambda: refused)
        assert refused == 1
        assert "conditions" not in (it.get(replicaset.KIND, "web", "going") or {})["status"]
    assert not [record for record in caplog.records if record.name.startswith("motet.controllers")]


async def test_the_events_name_the_pods_and_the_scaling(tmp_path: Path) -> None:
    async with world(tmp_path, deployments, replicasets) as it:
        await it.create(deployment.KIND, web(1))
        await it.until(lambda: len(it.all(pod.KIND)) == 1)
        await it.events.flush()
        told = {(each["involvedObject"]["kind"], each["reason"]): each["message"] for each in it.all(event.KIND)}
        (name,) = (each["metadata"]["name"] for each in it.all(pod.KIND))
        assert told["ReplicaSet", "SuccessfulCreate"] == f"Created pod: {name}"
        assert "from 0 to 1" in told["Deployment", "ScalingReplicaSet"]


async def test_labels_sent_with_the_status_of_a_deployment_change_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.create(deployment.KIND, web(1))
        patch = {"metadata": {"labels": {"a": "b"}}, "status": {"readyReplicas": 7}}
        await it.client.patch(deployment.KIND, "web", patch, "default", subresource="status")
        found = it.get(deployment.KIND, "web") or {}
        assert "labels" not in found["metadata"]
        assert found["status"]["readyReplicas"] == 7
