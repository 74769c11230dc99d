"""Addresses of Services of type LoadBalancer: pure verdicts, then the loop on a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers.world import World, world

from motet.controllers.loadbalancers import LoadBalancers, ServiceView, Verdict, decide
from motet.kinds import endpointslice, event, node, service

NODES = {"n1": ("192.0.2.1", "2001:db8::1"), "n2": ("192.0.2.2",)}


def view(name: str, *ports: int, shown: str = "", at: int = 1, **spec: Any) -> ServiceView:
    body: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": f"2026-01-01T00:00:{at:02}Z"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": port} for port in ports], **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": shown}]} if shown else {}},
    }
    return msgspec.convert(body, ServiceView)


def verdict(name: str, *services: ServiceView, **local: Any) -> Verdict:
    return decide(services, NODES, {("default", key): value for key, value in local.items()})["default", name]


def test_every_ready_node_is_an_address() -> None:
    assert verdict("a", view("a", 80)) == Verdict(("192.0.2.1", "192.0.2.2"))


def test_the_later_of_two_that_want_a_port_is_told_who_has_it() -> None:
    early, late = view("b", 80, at=1), view("a", 80, at=2)
    assert verdict("a", late, early) == Verdict(complaint="Port 80/TCP is held by Service default/b")
    assert verdict("b", late, early).addresses


def test_who_has_addresses_already_keeps_the_port() -> None:
    early, late = view("b", 80, at=1), view("a", 80, at=2, shown="192.0.2.1")
    assert verdict("a", late, early).addresses
    assert verdict("b", late, early).complaint


def test_the_same_port_of_another_protocol_is_another_port() -> None:
    udp = view("b", ports=[{"port": 80, "protocol": "UDP"}])
    assert verdict("b", view("a", 80), udp).addresses


def test_a_node_port_is_held_by_its_service() -> None:
    published = view("p", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    assert verdict("a", view("a", 30080), published).complaint == "Port 30080/TCP is held by Service default/p"


def test_another_class_of_balancer_is_not_touched() -> None:
    assert decide([view("a", 80, loadBalancerClass="example.com/x")], NODES, {}) == {}


def test_a_service_shows_addresses_of_its_own_families() -> None:
    both = view("a", 80, ipFamilies=["IPv4", "IPv6"])
    assert decide([both], NODES, {})["default", "a"].addresses == ("192.0.2.1", "192.0.2.2", "2001:db8::1")
    assert decide([view("a", 80, ipFamilies=["IPv6"])], NODES, {})["default", "a"].addresses == ("2001:db8::1",)


def test_a_service_that_publishes_no_more_loses_its_addresses() -> None:
    assert verdict("a", view("a", 80, shown="192.0.2.1", type="ClusterIP")) == Verdict()


def test_a_local_policy_shows_nodes_with_endpoints_only() -> None:
    assert verdict("a", view("a", 80, externalTrafficPolicy="Local"), a=["n2"]) == Verdict(("192.0.2.2",))


def test_without_any_node_what_was_shown_stays() -> None:
    assert decide([view("a", 80, shown="192.0.2.1")], {}, {})["default", "a"] == Verdict(("192.0.2.1",))


@given(st.lists(st.tuples(st.sets(st.integers(1, 4), min_size=1), st.booleans()), max_size=6))
def test_no_port_ever_has_two_holders_and_a_second_look_changes_nothing(wishes: list[tuple[set[int], bool]]) -> None:
    services = [
        view(f"s{number}", *ports, at=number, shown="192.0.2.1" if shown else "")
        for number, (ports, shown) in enumerate(wishes)
    ]
    first = decide(services, NODES, {})
    granted = [each for each in services if first[each.key].addresses]
    ports = [port.port for each in granted for port in each.spec.ports or ()]
    assert len(ports) == len(set(ports))
    after = [
        view(
            each.metadata.name,
            *(port.port for port in each.spec.ports or ()),
            at=number,
            shown="192.0.2.1" if first[each.key].addresses else "",
        )
        for number, each in enumerate(services)
    ]
    assert decide(after, NODES, {}) == first


async def loadbalancers(world: World) -> None:
    await LoadBalancers(world.client, world.clock, world.events).run()


def status(address: str, ready: str = "True") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    return {"addresses": [{"type": "InternalIP", "address": address}], "conditions": conditions}


def published(name: str, **spec: Any) -> dict[str, Any]:
    spec = {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80}], **spec}
    return {"metadata": {"name": name}, "spec": spec}


def shown(world: World, name: str) -> list[str]:
    found = world.get(service.KIND, name) or {}
    return [each["ip"] for each in found["status"].get("loadBalancer", {}).get("ingress") or ()]


def complaint(world: World, name: str) -> str:
    found = world.get(service.KIND, name) or {}
    return "".join(each["message"] for each in found["status"].get("conditions") or ())


async def add_node(it: World, name: str, address: str) -> None:
    await it.create(node.KIND, {"metadata": {"name": name}, "spec": {}}, "")
    await it.status(node.KIND, name, status(address), "")


async def test_addresses_follow_the_nodes(tmp_path: Path) -> None:
    async with world(tmp_path, loadbalancers) as it:
        await add_node(it, "n1", "192.0.2.1")
        await it.create(service.KIND, published("web"))
        await it.until(lambda: shown(it, "web") == ["192.0.2.1"])
        await add_node(it, "n2", "192.0.2.2")
        await it.until(lambda: shown(it, "web") == ["192.0.2.1", "192.0.2.2"])
        await it.status(node.KIND, "n1", status("192.0.2.1", "Unknown"), "")
        await it.until(lambda: shown(it, "web") == ["192.0.2.2"])


async def test_a_second_service_waits_for_the_port_and_says_why(tmp_path: Path) -> None:
    async with world(tmp_path, loadbalancers) as it:
        await add_node(it, "n1", "192.0.2.1")
        await it.create(service.KIND, published("first"))
        await it.until(lambda: shown(it, "first"))
        await it.create(service.KIND, published("second"))
        await it.until(lambda: complaint(it, "second") == "Port 80/TCP is held by Service default/first")
        await it.events.flush()
        (told,) = [each for each in it.all(event.KIND) if each["reason"] == "PortTaken"]
        assert told["involvedObject"]["name"] == "second"
        await it.client.delete(service.KIND, "first", "default")
        await it.until(lambda: shown(it, "second") == ["192.0.2.1"] and not complaint(it, "second"))


async def test_a_local_policy_follows_the_endpoints(tmp_path: Path) -> None:
    async with world(tmp_path, loadbalancers) as it:
        await add_node(it, "n1", "192.0.2.1")
        await add_node(it, "n2", "192.0.2.2")
        await it.create(service.KIND, published("web", externalTrafficPolicy="Local"))
        slice = {
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.42.1.2"], "nodeName": "n2", "conditions": {"ready": True}}],
        }
        await it.create(endpointslice.KIND, slice)
        await it.until(lambda: shown(it, "web") == ["192.0.2.2"])
