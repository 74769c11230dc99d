"""DaemonSets on a real kernel: nodes that come and change, updates, their undoing and their history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, kubelet, world

from motet.base.clock import FakeClock
from motet.controllers.daemonset import Backoff, DaemonSets
from motet.kinds import controllerrevision, daemonset, event, node, pod
from motet.store.document import Meta

KIND = daemonset.KIND


async def daemonsets(world: World) -> None:
    await DaemonSets(world.client, world.clock, world.events).run()


def logs(image: str = "v1", **spec: Any) -> dict[str, Any]:
    labels = {"app": "logs"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {"metadata": {"name": "logs"}, "spec": {"selector": {"matchLabels": labels}, "template": template, **spec}}


async def add_node(world: World, name: str, **labels: str) -> None:
    await world.create(node.KIND, {"metadata": {"name": name, "labels": labels}})


async def set_image(world: World, image: str) -> None:
    await world.client.patch(KIND, "logs", {"spec": {"template": logs(image)["spec"]["template"]}}, "default")


def settled(world: World, nodes: int, image: str = "v1") -> bool:
    found = world.get(KIND, "logs") or {}
    status = found.get("status") or {}
    counts = [status.get(key, 0) for key in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")]
    images = [each["spec"]["containers"][0]["image"] for each in world.all(pod.KIND)]
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    return current and counts == [nodes] * 3 and images == [image] * nodes


async def test_every_node_gets_a_pod_also_one_that_comes_later(tmp_path: Path) -> None:
    async with world(tmp_path, daemonsets, kubelet) as it:
        await add_node(it, "a")
        await it.create(KIND, logs())
        await it.until(lambda: settled(it, 1))
        await add_node(it, "b")
        await it.until(lambda: settled(it, 2))
        assert sorted(each["spec"]["nodeName"] for each in it.all(pod.KIND)) == ["a", "b"]


async def test_labels_of_nodes_decide(tmp_path: Path) -> None:
    async with world(tmp_path, daemonsets, kubelet) as it:
        await add_node(it, "a", color="blue")
        await add_node(it, "b")
        body = logs()
        body["spec"]["template"]["spec"]["nodeSelector"] = {"color": "blue"}
        await it.create(KIND, body)
        await it.until(lambda: settled(it, 1))
        await it.client.patch(node.KIND, "a", {"metadata": {"labels": {"color": "green"}}})
        await it.until(lambda: settled(it, 0))


async def test_an_update_rolls_and_an_undo_brings_the_old_revision_back(tmp_path: Path) -> None:
    async with world(tmp_path, daemonsets, kubelet) as it:
        for name in "abc":
            await add_node(it, name)
        await it.create(KIND, logs())
        await it.until(lambda: settled(it, 3))
        (first,) = it.all(controllerrevision.KIND)
        await set_image(it, "v2")
        await it.until(lambda: settled(it, 3, "v2"))
        await set_image(it, "v1")
        await it.until(lambda: settled(it, 3))
        revisions = {each["metadata"]["name"]: each["revision"] for each in it.all(controllerrevision.KIND)}
        assert sorted(revisions.values()) == [2, 3]
        assert revisions[first["metadata"]["name"]] == 3
        assert {each["metadata"]["labels"]["controller-revision-hash"] for each in it.all(pod.KIND)} == {
            first["metadata"]["labels"]["controller-revision-hash"]
        }


async def test_an_undo_before_a_pod_was_replaced_restarts_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, daemonsets, kubelet) as it:
        await add_node(it, "a")
        await it.create(KIND, logs(updateStrategy={"type": "OnDelete"}))
        await it.until(lambda: settled(it, 1))
        before = it.all(pod.KIND)[0]["metadata"]["uid"]
        await set_image(it, "broken")
        await it.until(lambda: len(it.all(controllerrevision.KIND)) == 2)
        await set_image(it, "v1")
        await it.until(lambda: settled(it, 1))
        assert it.all(pod.KIND)[0]["metadata"]["uid"] == before


async def test_history_is_kept_to_its_limit(tmp_path: Path) -> None:
    async with world(tmp_path, daemonsets, kubelet) as it:
        await add_node(it, "a")
        await it.create(KIND, logs(revisionHistoryLimit=1))
        for image in ("v1", "v2", "v3", "v4"):
            await set_image(it, image)
            await it.until(lambda image=image: settled(it, 1, image))  # type: ignore[misc]
        await it.until(lambda: sorted(each["revision"] for each in it.all(controllerrevision.KIND)) == [3, 4])


async def test_a_failed_pod_is_replaced_and_said_to_be(tmp_path: Path) -> None:
    async with world(tmp_path, daemonsets, kubelet) as it:
        await add_node(it, "a")
        await it.create(KIND, logs())
        await it.until(lambda: settled(it, 1))
        (broken,) = it.all(pod.KIND)
        await it.status(pod.KIND, broken["metadata"]["name"], {"phase": "Failed"})
        await it.until(lambda: broken["metadata"]["uid"] not in {each["metadata"]["uid"] for each in it.all(pod.KIND)})
        await it.until(lambda: settled(it, 1))
        await it.events.flush()
        assert "FailedDaemonPod" in {each["reason"] for each in it.all(event.KIND)}


def test_what_keeps_failing_waits_longer_each_time() -> None:
    clock, ds = FakeClock(), Meta(uid="u", generation=1)
    backoff = Backoff(clock)
    assert backoff.left(ds, "a") == 0
    waits = []
    for _ in range(12):
        backoff.failed(ds, "a")
        waits.append(backoff.left(ds, "a"))
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 900
    assert backoff.left(ds, "b") == backoff.left(Meta(uid="u", generation=2), "a") == 0
