"""Real packets over several nodes: who the client seems to be to a pod that is not where the client came to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.network.lab import CLIENT, Lab, inside, labs, node_document, until

from motet.kinds import node, service
from motet.network.proxy.desired import Backends, Frontend
from motet.network.proxy.mesh import CLIENT_ADDRESS, HIDDEN

pytestmark = pytest.mark.node
VIP = "10.43.0.80"
HTTP = {"port": 80, "protocol": "TCP", "nodePort": 30080}
DNS = {"port": 53, "protocol": "UDP", "nodePort": 30053}


@pytest.fixture(params=[False, True], ids=["", "encrypted"])
def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Lab]]:
    with labs(tmp_path, 3, encrypted=request.param) as made:
        yield made


@contextlib.asynccontextmanager
async def published(nodes: list[Lab], port: dict[str, Any] = HTTP, *, answers_back: bool = True) -> AsyncIterator[str]:
    """The first node publishes a pod of the second, whose address this gives; all know one another."""
    first, second, third = nodes
    address = second.serve(2, 80)
    known = {each.config.node_name: node_document(each, answers_back) for each in nodes}
    for name in ("n2", "n3"):
        await first.client.create(node.KIND, known[name])
    second.program({}, known)
    async with first.proxy():
        await first.publish("web", port, cluster_ip=VIP, type="NodePort")
        await first.back("web", address, protocol=port["protocol"], node="n2")
        udp = port["protocol"] == "UDP"
        await until(lambda: first.ask(first.address, port["nodePort"], of=first.outside, udp=udp, timeout=0.3))
        third.program({Frontend("", port["protocol"].lower(), port["nodePort"]): Backends(((address, 80),))}, known)
        yield address


async def test_a_pod_on_another_node_sees_who_asks(nodes: list[Lab]) -> None:
    first, _, third = nodes
    async with published(nodes):
        for one in (first, third):
            assert await asyncio.to_thread(first.ask, one.address, 30080, of=first.outside) == f"p2 {CLIENT}"


async def test_a_pod_on_another_node_sees_who_sends_datagrams_and_can_refuse_them(nodes: list[Lab]) -> None:
    first, second, _ = nodes
    async with published(nodes, DNS):
        assert await asyncio.to_thread(first.ask, first.address, 30053, of=first.outside, udp=True) == f"p2 {CLIENT}"
        await first.back("web", second.pod(3), protocol="UDP", node="n2")
        await until(lambda: refused(first, first.address, 30053))


def refused(lab: Lab, address: str, port: int) -> bool:
    try:
        lab.ask(address, port, of=lab.outside, udp=True, timeout=0.3)
    except ConnectionRefusedError:
        return True
    return False


async def test_two_connections_from_one_port_by_two_nodes_do_not_meet(nodes: list[Lab]) -> None:
    first, _, third = nodes
    async with published(nodes):
        with inside(first.outside):
            by_first, by_third = socket.socket(), socket.socket()
        with by_first, by_third:
            for made, one in ((by_first, first), (by_third, third)):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind((CLIENT, 40000))
                made.settimeout(2)
                await asyncio.to_thread(made.connect, (one.address, 30080))
            for made in (by_first, by_third, by_first):
                made.send(b"?")
                assert (await asyncio.to_thread(made.recv, 100)).decode() == f"p2 {CLIENT}"


async def test_the_pods_own_node_may_come_by_another(nodes: list[Lab]) -> None:
    first, second, third = nodes
    async with published(nodes):
        assert await asyncio.to_thread(first.ask, first.address, 30080, of=second.name) == f"p2 {second.address}"
        assert await asyncio.to_thread(first.ask, first.address, 30080, of=third.name) == f"p2 {third.address}"
        assert await asyncio.to_thread(first.ask, first.address, 30080, of=second.namespace(2))


async def test_the_nodes_own_connections_have_its_address_in_the_pod_network(nodes: list[Lab]) -> None:
    first = nodes[0]
    async with published(nodes):
        for address, port in ((first.address, 30080), ("127.0.0.1", 30080), (VIP, 80)):
            assert await asyncio.to_thread(first.ask, address, port) == f"p2 {first.config.gateway}"


async def test_a_strict_machine_lets_clients_in_all_the_same(nodes: list[Lab]) -> None:
    first, second, _ = nodes
    with inside(second.name):
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("1")
    await asyncio.to_thread(second.reach, nodes)
    async with published(nodes):
        assert await asyncio.to_thread(first.ask, first.address, 30080, of=first.outside) == f"p2 {CLIENT}"


async def test_a_node_that_would_answer_another_way_gets_the_first_nodes_address(nodes: list[Lab]) -> None:
    first = nodes[0]
    async with published(nodes, answers_back=False):
        found = await asyncio.to_thread(first.ask, first.address, 30080, of=first.outside)
        assert found == f"p2 {first.config.gateway}"


async def test_a_service_may_hide_its_clients_behind_the_node_they_came_to(nodes: list[Lab]) -> None:
    first = nodes[0]
    async with published(nodes):
        wish = {"metadata": {"annotations": {CLIENT_ADDRESS: HIDDEN}}}
        await first.client.patch(service.KIND, "web", wish, "default")
        hidden = f"p2 {first.config.gateway}"
        await until(lambda: first.ask(first.address, 30080, of=first.outside) == hidden)


async def test_connections_go_on_when_the_rules_are_written_again(nodes: list[Lab]) -> None:
    first, second, _ = nodes
    async with published(nodes):
        with first.connection(first.address, 30080, of=first.outside) as made:
            second.program({}, {each.config.node_name: node_document(each) for each in nodes})
            subprocess.run(["nft", "flush ruleset"], check=True)
            await until(lambda: first.ask(first.address, 30080, of=first.outside, timeout=0.2), seconds=8)
            made.send(b"?")
            assert (await asyncio.to_thread(made.recv, 100)).decode() == f"p2 {CLIENT}"
