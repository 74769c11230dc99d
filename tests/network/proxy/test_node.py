"""Services through real nftables: what a client gets to see, from a pod, from the node and from outside."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.network.lab import CLIENT, NODE, Lab, inside, lab, until

from motet.kinds import endpointslice, pod, service
from motet.network.proxy.desired import Backends, Frontend
from motet.network.proxy.nft import Nft, NftError

pytestmark = pytest.mark.node
VIP = "10.43.0.80"
HTTP = {"port": 80, "protocol": "TCP", "targetPort": 80}


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


def udp(port: int = 53) -> dict[str, Any]:
    return {"port": port, "protocol": "UDP"}


async def test_connections_are_spread_over_all_pods_from_everywhere(it: Lab) -> None:
    pods = [it.serve(number, 80) for number in (2, 3, 4)]
    async with it.proxy():
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, type="NodePort")
        await it.back("web", *pods)
        await until(lambda: it.ask(VIP, 80))
        for address, port, of in ((VIP, 80, ""), (VIP, 80, it.namespace(2)), (NODE, 30080, it.outside)):
            spread = await asyncio.to_thread(it.spread, address, port, of=of, times=60)
            assert set(spread) == {"p2", "p3", "p4"}
            assert min(spread.values()) >= 5
        assert await until(lambda: it.ask("127.0.0.1", 30080))


async def test_a_published_port_shows_pods_the_clients_own_address(it: Lab) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP, type="LoadBalancer")
        await it.back("web", address)
        assert await until(lambda: it.ask(NODE, 80, of=it.outside)) == f"p2 {CLIENT}"
        assert (await until(lambda: it.ask("127.0.0.1", 80))).startswith("p2 ")


async def test_an_address_leads_to_every_port_of_its_pods_and_one_that_is_named_goes_elsewhere(it: Lab) -> None:
    pods = [it.serve(number, 80, 7000) for number in (2, 3)]
    for number in (2, 3):
        it.listen(it.namespace(number), "named", 9000)
    async with it.proxy():
        named = HTTP | {"targetPort": 9000}
        await it.publish("web", named, cluster_ip=VIP, annotations={service.EVERY_PORT: "true"})
        await it.back("web", *pods, port=9000)
        await until(lambda: it.ask(VIP, 7000))
        for of in ("", it.namespace(2)):
            for over_udp in (False, True):
                spread = await asyncio.to_thread(it.spread, VIP, 7000, of=of, times=40, udp=over_udp)
                assert set(spread) == {"p2", "p3"}
            assert set(await asyncio.to_thread(it.spread, VIP, 80, of=of)) == {"named"}
        with pytest.raises(ConnectionRefusedError):
            it.ask(VIP, 9001)
        await it.back("web", pods[0], port=9000)
        await until(lambda: set(it.spread(VIP, 7000, times=20)) == {"p2"})
        await it.back("web", port=9000)
        await until(lambda: _refused(it, VIP, 7000))


def _refused(it: Lab, address: str, port: int) -> bool:
    try:
        it.ask(address, port)
    except ConnectionRefusedError:
        return True
    return False


async def test_a_pod_reaches_itself_through_its_service(it: Lab) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP)
        await it.back("web", address)
        assert (await until(lambda: it.ask(VIP, 80, of=it.namespace(2)))).startswith("p2 ")


async def test_a_pod_sees_the_address_of_a_pod_on_the_same_bridge(it: Lab) -> None:
    address = it.serve(2, 80)
    other = it.pod(3)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP)
        await it.back("web", address)
        assert await until(lambda: it.ask(VIP, 80, of=it.namespace(3))) == f"p2 {other}"


async def test_a_client_stays_with_its_pod_and_moves_only_when_that_is_gone(it: Lab) -> None:
    pods = {f"p{number}": it.serve(number, 80) for number in (2, 3, 4)}
    it.pod(9)
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP, **affinity)
        await it.back("web", *pods.values())
        await until(lambda: it.ask(VIP, 80, of=it.namespace(9)))
        (first,) = await asyncio.to_thread(it.spread, VIP, 80, of=it.namespace(9), times=30)
        await it.back("web", *(address for name, address in pods.items() if name != first))
        await until(lambda: it.ask(VIP, 80, of=it.namespace(9)).split()[0] != first)
        (second,) = await asyncio.to_thread(it.spread, VIP, 80, of=it.namespace(9), times=30)
        assert second != first
    async with it.proxy():  # a new agent: clients stay where they were
        await it.back("web", *pods.values())
        await asyncio.to_thread(it.spread, VIP, 80, of=it.namespace(9), times=5)
        assert await asyncio.to_thread(it.spread, VIP, 80, of=it.namespace(9), times=20) == {second: 20}


async def test_services_without_endpoints_refuse_at_once_and_unknown_addresses_too(it: Lab) -> None:
    it.pod(2)
    async with it.proxy():
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, type="NodePort", externalIPs=["192.0.2.77"])
        await until(lambda: _refused(it, "192.0.2.77", 80))
        asked = [(VIP, 80), ("10.43.9.9", 80), (VIP, 81), (NODE, 30080), ("192.0.2.77", 80)]
        for address, port in asked:
            for of in ("", it.namespace(2)):
                began = time.monotonic()
                assert await asyncio.to_thread(_refused, it, address, port, of), (address, port, of)
                assert time.monotonic() - began < 1.0
        assert await asyncio.to_thread(_refused, it, NODE, 30080, it.outside)


def _refused(it: Lab, address: str, port: int, of: str = "") -> bool:
    try:
        it.ask(address, port, of=of)
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("place", ["balance", "endpoints_tcp"])
def test_a_connection_that_meets_both_sides_of_a_transaction_is_not_refused(it: Lab, place: str) -> None:
    it.program({Frontend("", "tcp", 30080): Backends(((it.serve(2, 80), 80),))}, {})
    assert it.ask(NODE, 30080, of=it.outside).startswith("p2 ")
    with inside(it.name):
        Nft().run(f"flush map ip {it.config.table} {place}")
    with pytest.raises(TimeoutError):
        it.ask(NODE, 30080, of=it.outside, timeout=0.2)


async def test_an_external_address_leads_to_the_pods(it: Lab) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP, externalIPs=["198.51.100.7"])
        await it.back("web", address)
        assert await until(lambda: it.ask("198.51.100.7", 80, of=it.outside)) == f"p2 {CLIENT}"


async def test_a_host_port_leads_to_its_pod_until_that_ends(it: Lab) -> None:
    address = it.serve(2, 80)
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 8080}]}
    body = {
        "metadata": {"name": "web"},
        "spec": {"nodeName": "n1", "containers": [container]},
        "status": {"phase": "Running", "podIP": address},
    }
    async with it.proxy():
        await it.client.create(pod.KIND, body, "default")
        assert await until(lambda: it.ask(NODE, 8080, of=it.outside)) == f"p2 {CLIENT}"
        await it.client.delete(pod.KIND, "web", "default", grace_seconds=0)
        await until(lambda: _refused(it, NODE, 8080, it.outside))


async def test_of_two_that_publish_a_port_the_older_has_it_and_the_other_is_told_by_whom(it: Lab) -> None:
    address = it.serve(2, 80)
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 30080}]}
    spec = {"nodeName": "n1", "containers": [container]}
    status = {"phase": "Running", "podIP": address}
    told: list[str] = []
    async with it.proxy(warn=lambda about, message: told.append(f"{about.name}: {message}")):
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, type="NodePort")
        later = {"name": "late", "creationTimestamp": "2099-01-01T00:00:00Z"}
        await it.client.create(pod.KIND, {"metadata": later, "spec": spec, "status": status}, "default")
        await until(lambda: told)
        assert await asyncio.to_thread(_refused, it, NODE, 30080, it.outside), "the service has no endpoints"
        await it.client.delete(service.KIND, "web", "default")
        assert await until(lambda: it.ask(NODE, 30080, of=it.outside)) == f"p2 {CLIENT}"
    assert told == ["late: Port 30080/TCP of node n1 is held by Service default/web"]


async def test_a_process_of_the_node_keeps_the_port_it_had_first(it: Lab) -> None:
    address = it.serve(2, 80)
    it.listen(it.name, "process", 8080)
    told: list[str] = []
    async with it.proxy(warn=lambda about, message: told.append(f"{about.name}: {message}")):
        await it.publish("web", HTTP | {"port": 8080}, {"port": 8081}, cluster_ip=VIP, type="LoadBalancer")
        await it.back("web", address)
        await until(lambda: it.ask(VIP, 8080))
        assert await asyncio.to_thread(it.ask, NODE, 8080, of=it.outside) == f"process {CLIENT}"
    assert told == ["web: Port 8080/TCP of node n1 belongs to a process there; it is published when that ends"]


async def test_udp_follows_its_endpoints_even_with_the_same_socket(it: Lab) -> None:
    first, second = it.serve(2, 53), it.serve(3, 53)
    async with it.proxy():
        await it.publish("dns", udp(), cluster_ip=VIP)
        await it.back("dns", first, port=53, protocol="UDP")
        await until(lambda: it.ask(VIP, 53, udp=True, of=it.namespace(3), timeout=0.2))
        with it.connection(VIP, 53, udp=True, of=it.namespace(3), timeout=0.2) as flow:

            def answers() -> str:
                flow.send(b"?")
                return flow.recv(100).decode().split()[0]

            assert await until(answers) == "p2"
            await it.back("dns", second, port=53, protocol="UDP")
            await until(lambda: answers() == "p3")
            await it.back("dns", port=53, protocol="UDP")
            await until(lambda: _refused_datagram(flow))
            await it.back("dns", first, port=53, protocol="UDP")
            await until(lambda: answers() == "p2")


async def test_a_connection_that_a_dead_pod_never_answered_reaches_another_when_that_is_known(it: Lab) -> None:
    dead, alive = it.pod(2), it.serve(3, 80)
    drop = "add table ip d; add chain ip d in { type filter hook input priority 0; }; add rule ip d in drop"
    subprocess.run(["nsenter", f"--net=/run/netns/{it.namespace(2)}", "nft", drop], check=True)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP)
        await it.back("web", dead)
        await until(lambda: _unanswered(it, VIP, 80))
        begun = asyncio.create_task(asyncio.to_thread(it.connection, VIP, 80, of=it.namespace(3), timeout=8))
        await asyncio.sleep(0.5)
        await it.back("web", alive)
        with await begun as made:
            made.send(b"?")
            assert made.recv(100).decode().startswith("p3 ")


def _unanswered(it: Lab, address: str, port: int) -> bool:
    try:
        it.connection(address, port, of=it.namespace(3), timeout=0.3).close()
    except TimeoutError:
        return True
    except ConnectionRefusedError:
        return False
    return False


def _refused_datagram(flow: socket.socket) -> bool:
    try:
        flow.send(b"?")
        flow.recv(100)
    except ConnectionRefusedError:
        return True
    return False


async def test_a_published_udp_port_lets_flows_to_the_node_begin_before_it(it: Lab) -> None:
    address = it.serve(2, 53)
    it.listen(it.name, "process", 5353)
    async with it.proxy(listeners=set):
        with it.connection(NODE, 5353, udp=True, of=it.outside, timeout=0.2) as flow:

            def answers() -> str:
                flow.send(b"?")
                return flow.recv(100).decode().split()[0]

            assert await until(answers) == "process"
            await it.publish("dns", udp(5353), cluster_ip=VIP, type="LoadBalancer")
            await it.back("dns", address, port=53, protocol="UDP")
            await until(lambda: answers() == "p2")


async def test_a_balancer_outside_is_told_whether_this_node_has_endpoints(it: Lab) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        local = {"externalTrafficPolicy": "Local", "type": "LoadBalancer", "healthCheckNodePort": 30999}
        await it.publish("web", HTTP, cluster_ip=VIP, **local)
        await it.back("web", address, node="n1")
        head, body = await until(lambda: told(it, 30999, "200"))
        assert "X-Load-Balancing-Endpoint-Weight: 1" in head
        about = {"namespace": "default", "name": "web"}
        assert json.loads(body) == {"service": about, "localEndpoints": 1, "serviceProxyHealthy": True}
        await it.back("web", address, node="n2")
        head, body = await until(lambda: told(it, 30999, "503"))
        assert json.loads(body)["localEndpoints"] == 0
        await it.client.patch(service.KIND, "web", {"spec": {"externalTrafficPolicy": "Cluster"}}, "default")
        await until(lambda: _refused(it, NODE, 30999, it.outside))


def told(it: Lab, port: int, status: str) -> list[str]:
    """Head and body of an answer of that status, asked for from outside."""
    with it.connection(NODE, port, of=it.outside) as made:
        made.send(b"GET / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
        answer = made.makefile().read()
    return answer.split("\n\n", 1) if answer.split()[1] == status else []


async def test_a_balancer_lets_in_only_whom_it_shall(it: Lab) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        ranges = {"loadBalancerSourceRanges": ["192.0.2.0/29", "2001:db8::/32", " 192.0.2.4/30"]}
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, type="LoadBalancer", **ranges)
        await it.back("web", address)
        assert await until(lambda: it.ask(VIP, 80, of=it.namespace(2)))
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(it.ask, NODE, 80, of=it.outside, timeout=0.3)
        assert await asyncio.to_thread(it.ask, NODE, 80), "the node itself"
        assert await asyncio.to_thread(it.ask, NODE, 30080, of=it.outside), "the node port is not the balancer's"
        wider = {"spec": {"loadBalancerSourceRanges": ["192.0.2.0/28"]}}
        await it.client.patch(service.KIND, "web", wider, "default")
        assert await until(lambda: it.ask(NODE, 80, of=it.outside, timeout=0.3)) == f"p2 {CLIENT}"


async def test_with_a_local_policy_outsiders_get_only_this_nodes_pods(it: Lab) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        policies = {"externalTrafficPolicy": "Local", "type": "NodePort"}
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, **policies)
        await it.back("web", address, node="n2")
        await until(lambda: it.ask(NODE, 30080))
        assert await asyncio.to_thread(it.ask, NODE, 30080, of=it.namespace(2))
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(it.ask, NODE, 30080, of=it.outside, timeout=0.3)
        await it.back("web", address, node="n1")
        assert await until(lambda: it.ask(NODE, 30080, of=it.outside)) == f"p2 {CLIENT}"


async def test_running_connections_survive_everything_that_changes_around_them(it: Lab) -> None:
    pods = [it.serve(number, 80) for number in (2, 3, 4)]
    async with it.proxy():
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, type="NodePort")
        await it.back("web", pods[0])
        await until(lambda: it.ask(NODE, 30080, of=it.outside))
        with it.connection(NODE, 30080, of=it.outside) as made:
            for step in (pods, pods[1:], [], pods[2:]):
                await it.back("web", *step)
                await it.publish(f"other-{len(step)}", HTTP, cluster_ip=f"10.43.1.{len(step) + 1}")
                await until(lambda: bool(step) != _refused(it, VIP, 80))  # noqa: B023
                made.send(b"?")
                assert (await asyncio.to_thread(made.recv, 100)).decode() == f"p2 {CLIENT}"
    async with it.proxy():  # and the next agent's rewriting of all rules
        await until(lambda: it.ask(VIP, 80))
        made_again = it.connection(VIP, 80)
        made_again.close()


async def test_new_connections_avoid_an_endpoint_within_a_second_of_its_removal(it: Lab) -> None:
    pods = [it.serve(number, 80) for number in (2, 3)]
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP)
        await it.back("web", *pods)
        await until(lambda: set(it.spread(VIP, 80, times=10)) == {"p2", "p3"})
        await it.back("web", pods[1])
        removed = last = time.monotonic()
        while (now := time.monotonic()) - removed < 1.5:
            if (await asyncio.to_thread(it.ask, VIP, 80)).startswith("p2"):
                last = now
        assert last - removed < 1.0


async def test_a_deleted_service_is_gone_and_its_number_serves_another(it: Lab) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        await it.publish("a", HTTP, cluster_ip=VIP)
        await it.back("a", address)
        await until(lambda: it.ask(VIP, 80))
        await it.client.delete(service.KIND, "a", "default")
        await it.client.delete(endpointslice.KIND, "a-1", "default")
        await until(lambda: _refused(it, VIP, 80))
        await it.publish("b", HTTP, cluster_ip="10.43.0.81")
        await it.back("b", address)
        await until(lambda: it.ask("10.43.0.81", 80))
        assert await asyncio.to_thread(_refused, it, VIP, 80)


@pytest.mark.parametrize(
    "damage", ["flush ruleset", "flush table ip motet", "flush map ip motet virtual", "flush chain ip motet chosen"]
)
async def test_flushed_rules_come_back(it: Lab, damage: str) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP)
        await it.back("web", address)
        await until(lambda: it.ask(VIP, 80))
        subprocess.run(["nft", damage], check=True)
        with pytest.raises((TimeoutError, ConnectionError)):
            await asyncio.to_thread(it.ask, VIP, 80, timeout=0.2)
        await until(lambda: it.ask(VIP, 80, timeout=0.2), seconds=8)


async def test_hostile_words_of_a_slice_do_no_harm(it: Lab) -> None:
    address = it.serve(2, 80)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP, externalIPs=["1.2.3.4 } ; flush ruleset", "fe80::1"])
        await it.back("web", "127.0.0.1", "169.254.169.254", "x; flush ruleset", address)
        assert await until(lambda: it.spread(VIP, 80, times=20)) == {"p2": 20}


async def test_two_clusters_on_one_machine_do_not_meet(it: Lab, tmp_path: Path) -> None:
    from tests.network.lab import Lab as Other

    first = it.serve(2, 80)
    second = it.serve(3, 80)
    other = Other.__new__(Other)
    other.__dict__.update(it.__dict__)
    from dataclasses import replace

    from support.fake_client import FakeClient

    other.client = FakeClient()
    other.config = replace(it.config, table="other", bridge="other0")
    affinity = {"sessionAffinity": "ClientIP"}
    async with it.proxy(), other.proxy():
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, type="NodePort", **affinity)
        await other.publish("web", HTTP | {"nodePort": 30081}, cluster_ip="10.43.0.81", type="NodePort", **affinity)
        await it.back("web", first)
        await other.back("web", second)
        await until(lambda: it.ask(VIP, 80) and it.ask("10.43.0.81", 80))
        for _ in range(5):
            assert (await asyncio.to_thread(it.ask, NODE, 30080, of=it.outside)).startswith("p2")
            assert (await asyncio.to_thread(it.ask, NODE, 30081, of=it.outside)).startswith("p3")
        await it.back("web")
        await until(lambda: _refused(it, VIP, 80))
        assert await asyncio.to_thread(_refused, it, NODE, 30080, it.outside)
    Nft().remove_table("other")
    with pytest.raises(NftError):
        Nft().text("other")
