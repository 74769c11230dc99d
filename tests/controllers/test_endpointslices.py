"""Services with selectors on a real kernel: their slices and Endpoints follow the pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, kubelet, world

from motet.controllers.endpointslices import EndpointSlices
from motet.kinds import endpoints, endpointslice, node, pod, service


async def endpointslices(world: World) -> None:
    await EndpointSlices(world.client, world.clock).run()


def web() -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}}


def a_pod(name: str, app: str = "web") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def ready(world: World) -> set[str]:
    return {
        endpoint["targetRef"]["name"]
        for each in world.all(endpointslice.KIND)
        for endpoint in each.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
    }


def old_style(world: World) -> set[str]:
    found = world.get(endpoints.KIND, "web") or {}
    return {a["targetRef"]["name"] for subset in found.get("subsets") or () for a in subset.get("addresses") or ()}


async def test_pods_come_and_go_in_both_forms(tmp_path: Path) -> None:
    async with world(tmp_path, endpointslices, kubelet) as it:
        await it.create(service.KIND, web())
        for name, app in (("a", "web"), ("b", "web"), ("c", "other")):
            await it.create(pod.KIND, a_pod(name, app))
        await it.until(lambda: ready(it) == old_style(it) == {"a", "b"})
        await it.status(pod.KIND, "a", {"conditions": [{"type": "Ready", "status": "False"}]})
        await it.until(lambda: ready(it) == old_style(it) == {"b"})
        await it.client.patch(pod.KIND, "c", {"metadata": {"labels": {"app": "web"}}}, "default")
        await it.until(lambda: ready(it) == old_style(it) == {"b", "c"})
        await it.client.delete(pod.KIND, "b", "default", grace_seconds=0)
        await it.until(lambda: ready(it) == old_style(it) == {"c"})


async def test_hints_follow_the_zone_of_the_node(tmp_path: Path) -> None:
    async with world(tmp_path, endpointslices, kubelet) as it:
        await it.create(node.KIND, {"metadata": {"name": "n1"}})
        body = web()
        body["spec"]["trafficDistribution"] = "PreferSameZone"
        await it.create(service.KIND, body)
        made = a_pod("a")
        made["spec"]["nodeName"] = "n1"
        await it.create(pod.KIND, made)
        await it.until(lambda: ready(it) == {"a"})
        await it.client.patch(node.KIND, "n1", {"metadata": {"labels": {"topology.kubernetes.io/zone": "z1"}}})
        zones = {"forZones": [{"name": "z1"}]}
        await it.until(lambda: it.all(endpointslice.KIND)[0]["endpoints"][0].get("hints") == zones)


async def test_when_nothing_changes_nothing_is_written(tmp_path: Path) -> None:
    async with world(tmp_path, kubelet) as it:
        loop = EndpointSlices(it.client, it.clock)
        await it.create(service.KIND, web())
        await it.create(pod.KIND, a_pod("a"))
        await it.until(lambda: ((it.get(pod.KIND, "a") or {}).get("status") or {}).get("podIP"))
        loop._services, loop._pods, loop._slices, loop._endpoints, loop._nodes = [
            it.registry.table(kind) for kind in (service.KIND, pod.KIND, endpointslice.KIND, endpoints.KIND, node.KIND)
        ]
        await loop.reconcile(("default", "web"))
        revisions = [
            each["metadata"]["resourceVersion"] for each in it.all(endpointslice.KIND) + it.all(endpoints.KIND)
        ]
        await loop.reconcile(("default", "web"))
        assert revisions == [
            each["metadata"]["resourceVersion"] for each in it.all(endpointslice.KIND) + it.all(endpoints.KIND)
        ]


async def test_the_endpoints_object_goes_with_its_service(tmp_path: Path) -> None:
    async with world(tmp_path, endpointslices) as it:
        await it.create(service.KIND, web())
        await it.until(lambda: it.get(endpoints.KIND, "web"))
        await it.client.delete(service.KIND, "web", "default")
        await it.until(lambda: it.get(endpoints.KIND, "web") is None)


async def test_a_service_without_a_selector_is_left_alone(tmp_path: Path) -> None:
    async with world(tmp_path, endpointslices) as it:
        await it.create(service.KIND, {"metadata": {"name": "bare"}, "spec": {"ports": [{"port": 80}]}})
        await it.create(service.KIND, web())
        await it.until(lambda: it.get(endpoints.KIND, "web"))
        assert it.get(endpoints.KIND, "bare") is None
