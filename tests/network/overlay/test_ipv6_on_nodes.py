"""IPv6 between nodes, through the overlay and through WireGuard, with real packets."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.network.lab import CLIENT_SIX, Lab, labs, node_document, until

from motet.kinds import node
from motet.network.overlay import kernel

pytestmark = pytest.mark.node
VIP, SIX = "10.43.0.80", "fd00:43::80"
HTTP = {"port": 80, "protocol": "TCP", "nodePort": 30080}


@pytest.fixture(params=[False, True], ids=["", "encrypted"])
def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Lab]]:
    with labs(tmp_path, 2, encrypted=request.param, dual=True) as made:
        yield made


def eventually(condition: Callable[[], str]) -> str:
    return asyncio.run(until(condition))


def test_pods_of_two_nodes_meet_and_see_each_others_addresses(nodes: list[Lab]) -> None:
    first, second = nodes
    first.pod(2)
    second.serve(2, 80)
    assert eventually(lambda: first.ask(second.second(2), 80, of=first.namespace(2))) == f"p2 {first.second(2)}"
    # The node itself comes from its bridge's address, to which answers find back.
    assert first.config.ipv6 is not None
    assert eventually(lambda: first.ask(second.second(2), 80)) == f"p2 {first.config.ipv6.gateway}"
    # Nothing is left to do, and what somebody takes away comes back.
    device = first.config.overlay
    before = kernel.observe(device).entries
    first.reach(nodes)
    assert kernel.observe(device).entries == before
    subprocess.run(["ip", "-6", "route", "flush", "dev", device, "proto", "static"], check=True)
    first.reach(nodes)
    assert kernel.observe(device).entries == before


async def test_a_published_port_of_ipv6_shows_a_pod_on_another_node_who_asks(nodes: list[Lab]) -> None:
    first, second = nodes
    second.serve(2, 80)
    known = {each.config.node_name: node_document(each) for each in nodes}
    await first.client.create(node.KIND, known["n2"])
    second.program({}, known)
    async with first.proxy():
        spec = {"type": "NodePort", "clusterIPs": [VIP, SIX], "ipFamilies": ["IPv4", "IPv6"]}
        await first.publish("web", HTTP, cluster_ip=VIP, **spec)
        await first.back("web", second.second(2), node="n2")
        assert await until(lambda: first.ask("2001:db8::1", 30080, of=first.outside, timeout=0.5)) == f"p2 {CLIENT_SIX}"
        first.pod(3)
        assert await until(lambda: first.ask(SIX, 80, of=first.namespace(3))) == f"p2 {first.second(3)}"
