"""The bridge and the machine's own firewall, in a real kernel."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.network.lab import NODE, Lab, lab, until

from motet.network import bridge, firewall
from motet.network.node import NodeNetwork
from motet.network.proxy.nft import Nft

pytestmark = pytest.mark.node
HTTP = {"port": 80, "protocol": "TCP"}


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_ensuring_twice_changes_nothing(it: Lab) -> None:
    before = output("ip", "address"), output("ip", "route")
    bridge.ensure(it.config)
    assert (output("ip", "address"), output("ip", "route")) == before


def test_the_bridge_keeps_its_address_whatever_pods_come(it: Lab) -> None:
    for number in (2, 3):
        it.pod(number)
        assert "link/ether 0a:58:0a:2a:00:01" in output("ip", "link", "show", "motet0")


async def test_a_deleted_bridge_comes_back_with_its_pods(it: Lab) -> None:
    address = it.serve(2, 80)
    it.pod(3)
    known = await asyncio.to_thread(bridge.repair, it.config, frozenset())
    assert known == {"veth2", "veth3"}
    subprocess.run(["ip", "link", "delete", "motet0"], check=True)
    assert await asyncio.to_thread(bridge.repair, it.config, known) == known
    assert await until(lambda: it.ask(address, 80))
    assert await until(lambda: it.ask(address, 80, of=it.namespace(3)))


def test_a_deleted_route_comes_back(it: Lab) -> None:
    subprocess.run(["ip", "route", "delete", "10.43.0.0/16"], check=True)
    bridge.repair(it.config, frozenset())
    assert "10.43.0.0/16 dev motet0" in output("ip", "route")


async def test_pods_are_reachable_where_the_machine_forwards_nothing(it: Lab) -> None:
    nft = Nft()
    nft.run("table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }")
    before = nft.run("list ruleset")
    address = it.serve(2, 80)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip="10.43.0.80", type="LoadBalancer")
        await it.back("web", address)
        await until(lambda: it.ask(NODE, 80))
        with pytest.raises(TimeoutError):
            it.ask(NODE, 80, of=it.outside, timeout=0.3)
        firewall.ensure(nft, it.config)
        firewall.ensure(nft, it.config)
        assert nft.run("list chain ip filter FORWARD").count("accept") == 4
        assert await until(lambda: it.ask(NODE, 80, of=it.outside))
    await asyncio.to_thread(NodeNetwork.remove, it.config)
    assert nft.run("list ruleset") == before


async def test_removing_leaves_nothing(it: Lab) -> None:
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip="10.43.0.80", type="LoadBalancer")
    await asyncio.to_thread(NodeNetwork.remove, it.config)
    await asyncio.to_thread(NodeNetwork.remove, it.config)
    assert Nft().run("list ruleset") == ""
    assert "motet" not in output("ip", "link") + output("ip", "route")
