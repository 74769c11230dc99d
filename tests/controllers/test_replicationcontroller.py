"""ReplicationControllers on a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.controllers.world import World, kubelet, world

from motet.base.errors import Forbidden
from motet.controllers.replicationcontroller import replication_controllers
from motet.kinds import pod, replicationcontroller
from motet.kinds.kind import Kind

KIND = replicationcontroller.KIND


async def controllers(world: World) -> None:
    await replication_controllers(world.client, world.clock, world.events).run()


def web(replicas: int = 2) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "v1"}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": replicas, "template": template}}


def status(world: World) -> dict[str, Any]:
    return (world.get(KIND, "web") or {}).get("status") or {}


async def test_it_keeps_its_pods_and_counts_them(tmp_path: Path) -> None:
    async with world(tmp_path, controllers, kubelet) as it:
        await it.create(KIND, web(2))
        await it.until(lambda: status(it).get("availableReplicas") == 2)
        assert {each["metadata"]["ownerReferences"][0]["kind"] for each in it.all(pod.KIND)} == {KIND.kind}
        await it.client.patch(KIND, "web", {"spec": {"replicas": 1}}, "default", subresource="scale")
        await it.until(lambda: len(it.all(pod.KIND)) == 1 and status(it).get("replicas") == 1)


async def test_it_adopts_what_matches_and_lets_go_what_no_longer_does(tmp_path: Path) -> None:
    async with world(tmp_path, controllers) as it:
        spec = web()["spec"]["template"]["spec"]
        await it.create(pod.KIND, {"metadata": {"name": "stray", "labels": {"app": "web"}}, "spec": spec})
        await it.create(KIND, web(1))
        await it.until(lambda: (it.get(pod.KIND, "stray") or {})["metadata"].get("ownerReferences"))
        await it.client.patch(pod.KIND, "stray", {"metadata": {"labels": {"app": "debug"}}}, "default")
        await it.until(lambda: not (it.get(pod.KIND, "stray") or {})["metadata"].get("ownerReferences"))
        await it.until(lambda: len(it.all(pod.KIND)) == 2)


async def test_pods_that_are_refused_show_as_a_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, controllers) as it:
        create = it.client.create

        async def refuse(kind: Kind, document: dict[str, Any], namespace: str = "") -> Any:
            if kind is pod.KIND:
                raise Forbidden("exceeded quota: small")
            return await create(kind, document, namespace)

        monkeypatch.setattr(it.client, "create", refuse)
        await it.create(KIND, web(2))
        (condition,) = await it.until(lambda: status(it).get("conditions"))
        assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
        monkeypatch.undo()
        await it.until(lambda: len(it.all(pod.KIND)) == 2 and not status(it).get("conditions"))
