from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, service

from motet.api.options import DeleteOptions, PatchType
from motet.api.registry import Registry
from motet.base.errors import Invalid
from motet.kinds import service as services


async def made(registry: Registry, name: str = "web", **spec: Any) -> dict[str, Any]:
    document = await registry.create(services.KIND, "default", service(name, **spec), ADMIN)
    found: dict[str, Any] = document.decode()["spec"]
    return found


async def patched(registry: Registry, **spec: Any) -> dict[str, Any]:
    document, _ = await registry.patch(services.KIND, "default", "web", {"spec": spec}, PatchType.MERGE, ADMIN)
    found: dict[str, Any] = document.decode()["spec"]
    return found


async def test_a_service_gets_an_address_of_the_range(registry: Registry) -> None:
    spec = await made(registry)
    assert ip_address(spec["clusterIP"]) in ip_network("10.43.0.0/16")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


async def test_a_service_made_again_gets_its_address_again(registry: Registry) -> None:
    first = await made(registry)
    await registry.delete(services.KIND, "default", "web", ADMIN, DeleteOptions())
    assert (await made(registry))["clusterIP"] == first["clusterIP"]


async def test_no_two_services_share_an_address_or_a_node_port(registry: Registry) -> None:
    many = await asyncio.gather(*(made(registry, f"s{number}", type="NodePort") for number in range(50)))
    assert len({spec["clusterIP"] for spec in many}) == 50
    assert len({spec["ports"][0]["nodePort"] for spec in many}) == 50
    assert all(30000 <= spec["ports"][0]["nodePort"] <= 32767 for spec in many)


async def test_an_address_can_be_asked_for_once(registry: Registry) -> None:
    assert (await made(registry, clusterIP="10.43.0.77"))["clusterIP"] == "10.43.0.77"
    with pytest.raises(
        Invalid, match=r"failed to allocate IP 10\.43\.0\.77: provided IP is already allocated to Service default/web"
    ):
        await made(registry, "other", clusterIP="10.43.0.77")


async def test_an_address_must_be_in_the_range(registry: Registry) -> None:
    with pytest.raises(Invalid, match="is not in the valid range"):
        await made(registry, clusterIP="192.168.0.7")


async def test_a_refused_service_keeps_nothing(registry: Registry) -> None:
    with pytest.raises(Invalid):
        await made(registry, clusterIP="10.43.0.77", type="NodePort", ports=[{"port": 80, "nodePort": 5}])
    assert (await made(registry, clusterIP="10.43.0.77"))["clusterIP"] == "10.43.0.77"


async def test_headless_and_external_services_have_no_address(registry: Registry) -> None:
    assert (await made(registry, clusterIP="None"))["clusterIPs"] == ["None"]
    assert "clusterIP" not in await made(registry, "far", type="ExternalName", externalName="example.com")


async def test_a_node_port_can_be_asked_for_once(registry: Registry) -> None:
    wanted = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}
    assert (await made(registry, **wanted))["ports"][0]["nodePort"] == 30080
    with pytest.raises(Invalid, match="provided port is already allocated to Service default/web") as info:
        await made(registry, "other", **wanted)
    assert info.value.details["causes"][0]["field"] == "spec.ports[0].nodePort"


async def test_a_port_for_health_checks_is_taken_like_any_other(registry: Registry) -> None:
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    assert (await made(registry, **local, healthCheckNodePort=30090))["healthCheckNodePort"] == 30090
    with pytest.raises(Invalid, match="provided port is already allocated to Service default/web") as info:
        await made(registry, "other", **local, healthCheckNodePort=30090)
    assert info.value.details["causes"][0]["field"] == "spec.healthCheckNodePort"
    assert (await patched(registry, sessionAffinity="ClientIP"))["healthCheckNodePort"] == 30090


async def test_a_node_port_must_be_in_the_range(registry: Registry) -> None:
    with pytest.raises(Invalid, match="The range of valid ports is 30000-32767"):
        await made(registry, type="NodePort", ports=[{"port": 80, "nodePort": 80}])


async def test_one_service_may_use_a_node_port_for_two_protocols(registry: Registry) -> None:
    ports = [
        {"name": "a", "port": 53, "protocol": "TCP", "nodePort": 30053},
        {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 30053},
    ]
    assert [port["nodePort"] for port in (await made(registry, type="NodePort", ports=ports))["ports"]] == [30053] * 2


async def test_an_update_keeps_address_and_ports(registry: Registry) -> None:
    first = await made(registry, type="NodePort")
    document = service("web", type="NodePort", sessionAffinity="ClientIP")
    updated, _ = await registry.update(services.KIND, "default", "web", document, ADMIN)
    spec = updated.decode()["spec"]
    assert spec["clusterIP"] == first["clusterIP"]
    assert spec["ports"][0]["nodePort"] == first["ports"][0]["nodePort"]


async def test_a_change_of_type_takes_and_gives_back_node_ports(registry: Registry) -> None:
    await made(registry)
    port = (await patched(registry, type="NodePort"))["ports"][0]["nodePort"]
    assert "nodePort" not in (await patched(registry, type="ClusterIP"))["ports"][0]
    assert await made(registry, "other", type="NodePort", ports=[{"port": 80, "nodePort": port}])
