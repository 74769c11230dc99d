"""Ingresses show the nodes that serve them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, world

from motet.controllers.ingresses import CLASS, Ingresses
from motet.kinds import ingress as ingress_kind
from motet.kinds import ingressclass as class_kind
from motet.kinds import node as node_kind

SERVES = {node_kind.INGRESS: node_kind.INGRESS_READY}


async def loop(it: World) -> None:
    await Ingresses(it.client, it.clock).run()


async def node(it: World, name: str, address: str, annotations: dict[str, str]) -> None:
    await it.create(node_kind.KIND, {"metadata": {"name": name, "annotations": annotations}})
    ready = [{"type": "Ready", "status": "True"}]
    await it.status(
        node_kind.KIND, name, {"addresses": [{"type": "InternalIP", "address": address}], "conditions": ready}
    )


def ingress(name: str = "web", **spec: Any) -> dict[str, Any]:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    return {"metadata": {"name": name}, "spec": {"ingressClassName": CLASS, "defaultBackend": backend, **spec}}


def shown(it: World, name: str = "web") -> list[str]:
    found = it.get(ingress_kind.KIND, name)
    assert found is not None
    return [point["ip"] for point in found["status"]["loadBalancer"].get("ingress", [])]


async def test_there_is_a_default_class_without_anybody_asking(tmp_path: Path) -> None:
    async with world(tmp_path, loop) as it:
        await it.until(lambda: it.get(class_kind.KIND, CLASS))
        made = it.get(class_kind.KIND, CLASS)
        assert made is not None
        assert made["metadata"]["annotations"] == {class_kind.DEFAULT_ANNOTATION: "true"}


async def test_only_nodes_that_serve_are_addresses(tmp_path: Path) -> None:
    async with world(tmp_path, loop) as it:
        await node(it, "n1", "192.0.2.1", SERVES)
        await node(it, "n2", "192.0.2.2", {node_kind.INGRESS: "Caddy is not installed"})
        await it.create(ingress_kind.KIND, ingress())
        await it.until(lambda: shown(it) == ["192.0.2.1"])
        await it.client.patch(node_kind.KIND, "n2", {"metadata": {"annotations": SERVES}})
        await it.until(lambda: shown(it) == ["192.0.2.1", "192.0.2.2"])


async def test_ingresses_of_others_are_left_alone(tmp_path: Path) -> None:
    async with world(tmp_path, loop) as it:
        await node(it, "n1", "192.0.2.1", SERVES)
        await it.create(class_kind.KIND, {"metadata": {"name": "theirs"}, "spec": {"controller": "example.com/proxy"}})
        await it.create(ingress_kind.KIND, ingress("theirs", ingressClassName="theirs"))
        await it.create(ingress_kind.KIND, ingress())
        await it.until(lambda: shown(it) == ["192.0.2.1"])
        assert shown(it, "theirs") == []
