"""Names resolve according to who asks: pods of this node, told apart by the address their questions come from."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from tests.network.dns import messages
from tests.network.dns.messages import Message, question
from tests.network.dns.ports import free_port
from tests.network.dns.test_loop import a_slice, headless
from tests.network.dns.test_server import Reply, upstream
from tests.network.lab import config

from motet.kinds import endpointslice, network, podaddress, podmarks, service
from motet.kinds import pod as pod_kind
from motet.kinds.attachments import ANNOTATION
from motet.kinds.kind import Kind
from motet.network.dns import loop, wire
from motet.network.dns.forward import Forwarder
from motet.network.dns.loop import Dns
from motet.network.roster import Roster
from motet.store.table import Table
from support.fake_client import FakeClient

Json = dict[str, Any]
D = "cluster.local"
NODE = "127.0.0.1"
FRONT, BACK, PLAIN, INNER = "127.0.8.2", "127.0.8.3", "127.0.8.4", "127.0.8.5"


@dataclass
class Node:
    client: FakeClient
    roster: Roster
    port: int

    uids: dict[str, str] = field(default_factory=dict)

    async def enter(
        self, address: str, networks: str = "", namespace: str = "default", marks: dict[str, str] | None = None
    ) -> None:
        """A pod of this node begins."""
        annotations = {**({ANNOTATION: networks} if networks else {}), **(marks or {})}
        metadata = {"name": f"p{address.rpartition('.')[2]}", "annotations": annotations, "namespace": namespace}
        made = await self.client.create(pod_kind.KIND, {"metadata": metadata, "spec": {"nodeName": "n1"}}, namespace)
        self.uids[address] = made.meta.uid
        self.roster.admit(made, address)

    async def ask(self, asker: str, name: str) -> Message:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((asker, 0))
            sock.setblocking(False)
            running = asyncio.get_running_loop()
            await running.sock_sendto(
                sock, question(f"{name}.{D}" if "example" not in name else name), (NODE, self.port)
            )
            async with asyncio.timeout(5):
                return messages.read(await running.sock_recv(sock, 4096))

    async def known(self, asker: str, name: str, wanted: set[str]) -> None:
        async with asyncio.timeout(5):
            while (found := (await self.ask(asker, name)).data()) != wanted:
                await asyncio.sleep(0.01)
        assert found == wanted


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    client = FakeClient()
    for name in ("front", "back"):
        await client.create(network.KIND, {"metadata": {"name": name}, "spec": {}}, "default")
    await client.create(network.KIND, {"metadata": {"name": "inner"}, "spec": {"internal": True}}, "default")
    port = free_port()
    pods = {"all_pods": IPv4Network("127.0.8.0/24"), "pods": IPv4Network("127.0.8.0/24")}
    settings = replace(config(tmp_path), dns_address=IPv4Address(NODE), upstream=(NODE,), **pods)
    roster = Roster(client, "n1")  # type: ignore[arg-type]
    running = asyncio.ensure_future(Dns(client, settings, roster, port).run())  # type: ignore[arg-type]
    made = Node(client, roster, port)
    try:
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(0.2):
                        await made.ask(NODE, "up")
                        break
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def serve(node: Node, name: str, *addresses: str, networks: str = "", **spec: Any) -> None:
    document = headless(name, **spec)
    if networks:
        document["metadata"]["annotations"] = {ANNOTATION: networks}
    await node.client.create(service.KIND, document, "default")
    await node.client.create(endpointslice.KIND, a_slice(name, *addresses), "default")


async def test_the_same_question_has_another_answer_for_another_asker(node: Node) -> None:
    for address, networks in ((FRONT, "front"), (BACK, "back=db"), (PLAIN, "")):
        await node.enter(address, networks)
    await serve(node, "web", FRONT)
    await serve(node, "store", BACK, networks="back=mysql", clusterIP="10.43.0.9")
    for asker in (FRONT, NODE):
        await node.known(asker, "web.default.svc", {FRONT})
    for name, wanted in (("store", "10.43.0.9"), ("mysql", "10.43.0.9"), ("tasks.store", BACK), ("db", BACK)):
        await node.known(BACK, f"{name}.default.svc", {wanted})
    for stranger in (FRONT, PLAIN):
        for name in ("store", "mysql", "tasks.store", "db"):
            assert (await node.ask(stranger, f"{name}.default.svc")).rcode == wire.NXDOMAIN
    assert (await node.ask(BACK, "web.default.svc")).rcode == wire.NXDOMAIN


async def test_a_pod_that_joins_is_told_from_then_on_and_one_that_leaves_no_more(node: Node) -> None:
    await node.enter(FRONT, "front")
    await node.enter(PLAIN)
    await serve(node, "web", FRONT)
    assert (await node.ask(PLAIN, "web.default.svc")).rcode == wire.NXDOMAIN
    for networks, wanted in (("front", {FRONT}), (None, set())):
        patch = {"metadata": {"annotations": {ANNOTATION: networks}}}
        await node.client.patch(podaddress.KIND, "p4", patch, "default")
        await node.known(PLAIN, "web.default.svc", wanted)


async def test_where_a_service_leads_counts_from_when_its_pods_networks_are_known(node: Node) -> None:
    await node.enter(FRONT, "front")
    await serve(node, "far", "127.0.8.99")
    await node.known(FRONT, "far.default.svc", set())
    metadata = {"name": "far", "annotations": {ANNOTATION: "front"}, "namespace": "default"}
    far = {"metadata": metadata, "spec": {"nodeName": "n2"}, "status": {"phase": "Running", "podIP": "127.0.8.99"}}
    await node.client.create(podaddress.KIND, far, "default")
    await node.known(FRONT, "far.default.svc", {"127.0.8.99"})


async def test_a_network_of_another_namespace_brings_its_names_behind_ones_own(node: Node) -> None:
    await node.enter(FRONT, "front")
    await serve(node, "web", FRONT, networks="front")
    await node.enter(PLAIN, "default/front", namespace="blog")
    await node.known(PLAIN, "web.blog.svc", {FRONT})
    own = headless("web", namespace="blog")
    own["metadata"]["annotations"] = {ANNOTATION: "default/front"}
    await node.client.create(service.KIND, own, "blog")
    await node.client.create(endpointslice.KIND, a_slice("web", PLAIN, namespace="blog"), "blog")
    await node.known(PLAIN, "web.blog.svc", {PLAIN})
    await node.known(FRONT, "web.default.svc", {FRONT})


async def test_internal_networks_ask_nobody_outside(node: Node) -> None:
    await node.enter(INNER, "inner")
    assert (await node.ask(INNER, "www.example.com")).rcode == wire.REFUSED
    await node.client.patch(network.KIND, "inner", {"spec": {"internal": False}}, "default")
    async with asyncio.timeout(5):
        while (await node.ask(INNER, "www.example.com")).rcode != wire.SERVFAIL:  # asked, and nobody is there
            await asyncio.sleep(0.01)


async def test_without_networks_everybody_sees_everything(node: Node) -> None:
    await node.enter(PLAIN)
    await serve(node, "web", PLAIN, networks="front")
    await node.known(PLAIN, "web.default.svc", set())
    for name in ("front", "back", "inner"):
        await node.client.delete(network.KIND, name, "default")
    await node.known(PLAIN, "web.default.svc", {PLAIN})


async def test_names_go_on_while_the_api_does_not_tell_of_any_pod(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that begins while the manager is away knows its own pods, and of services what was known last."""
    table = node.client.table

    async def away(kind: Kind, *where: str, **how: Any) -> Table:
        if kind is podaddress.KIND:
            await asyncio.Event().wait()
        return await table(kind, *where, **how)

    monkeypatch.setattr(node.client, "table", away)
    node.roster._pods = None
    await node.enter(FRONT, "front")
    await serve(node, "far", "127.0.8.99", networks="front=alias")
    for name in ("far", "alias", "tasks.far"):
        await node.known(FRONT, f"{name}.default.svc", {"127.0.8.99"})


@pytest.mark.parametrize("networks", ["", "front", "inner"])
async def test_a_pods_own_servers_are_asked_for_it_alone_and_not_from_internal_networks(
    node: Node, monkeypatch: pytest.MonkeyPatch, networks: str
) -> None:
    reply: Reply = lambda query: messages.answer(query, ("A", bytes((192, 0, 2, 9)), 60))  # noqa: E731
    async with upstream(reply) as (up, at):
        asked_of = []
        monkeypatch.setattr(loop, "_forwarder", lambda them: asked_of.append(them) or Forwarder(lambda: (NODE,), at))
        for each in await node.client.list(network.KIND, "default") if not networks else ():
            await node.client.delete(network.KIND, each.name, "default")
        await node.enter(FRONT, networks, marks={podmarks.NAME_SERVERS: "192.0.2.53"})
        await node.enter(PLAIN)
        await serve(node, "web", FRONT, networks=networks)
        await node.known(FRONT, "web.default.svc", {FRONT})
        found = await node.ask(FRONT, "www.example.com")
        if networks == "inner":
            assert (found.rcode, up.asked) == (wire.REFUSED, 0)
        else:
            assert (found.data(), up.asked) == ({"192.0.2.9"}, 1)
        assert asked_of == [("192.0.2.53",)]
        await node.ask(PLAIN, "www.example.org")
        node.roster.dismiss(node.uids[FRONT])
        await node.ask(FRONT, "www.example.net")
        assert up.asked == (networks != "inner")
