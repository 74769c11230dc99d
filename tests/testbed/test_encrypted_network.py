"""A Network that is encrypted in a cluster that is not: what is seen between nodes of its pods, and of others."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.testbed.world import Json, World, until

from motet.kinds import network, node, pod
from motet.network.wireguard.config import DEVICE, PORT
from motet.testbed import plan as plans
from motet.testbed.switch import Switch
from support.capture import Tap, tap

pytestmark = pytest.mark.node

MEMBERS = ("n1", "n2")


@asynccontextmanager
async def secret_network(world: World) -> AsyncIterator[None]:
    """The pods of two nodes are on an encrypted Network, and reach each other."""
    spec = {"encrypted": True, "attachable": True}
    async with world.testbed.client() as client:
        await client.create(network.KIND, {"metadata": {"name": "secret"}, "spec": spec}, "default")
        await _annotate(world, "secret")
        await until(lambda: _hears(world), 20)
        yield
        await _annotate(world, None)
        await client.delete(network.KIND, "secret", "default")


async def _annotate(world: World, networks: str | None) -> None:
    note: Json = {"metadata": {"annotations": {"motet.dev/networks": networks}}}
    async with world.testbed.client() as client:
        for name in MEMBERS:
            await client.patch(pod.KIND, f"web-{name}", note, "default")


async def _hears(world: World, word: str = "") -> bool:
    """Whether the pod of the first node gets an answer from that of the second."""
    script = f"timeout 2 wget -q -O - http://{world.addresses['n2']}:8080/{word}"
    return "web-n2" in await world.in_pod("n1", script)


def _seen(world: World) -> Tap:
    return tap(Switch(plans.tag(world.testbed.directory)).namespace, "port1")  # type: ignore[return-value]


def _on(world: World, name: str, *command: str) -> str:
    return subprocess.run(world.testbed.box(name).inside(command), check=True, capture_output=True, text=True).stdout


async def test_pods_of_an_encrypted_network_are_not_overheard_and_others_go_their_way(world: World) -> None:
    async with secret_network(world):
        with _seen(world) as seen:
            await _hears(world, "said-in-secret")
            assert not seen.shows(b"said-in-secret")
            assert any(packet[:4] == b"\x04\0\0\0" for packet in seen.datagrams(PORT))
            world.from_machine(f"http://{world.addresses['n3']}:8080/said-in-clear", node="n1")
            assert seen.shows(b"said-in-clear")

        # Also what a node itself says to such a pod, and whoever comes by a published port is answered.
        with _seen(world) as seen:
            assert world.from_machine(f"http://{world.addresses['n2']}:8080/", node="n1") == "web-n2"
            world.from_machine(f"http://{world.addresses['n2']}:8080/said-by-a-node", node="n1")
            assert not seen.shows(b"said-by-a-node")
        url = f"http://{world.testbed.address('n3')}:30080/"
        assert {world.from_machine(url) for _ in range(20)} == {"web-n1", "web-n2", "web-n3"}

        # Nothing goes in clear while the way is broken, and it is mended.
        with _seen(world) as seen:
            _on(world, "n1", "ip", "rule", "del", "pref", "4242")
            await _hears(world, "said-meanwhile")
            await until(lambda: _hears(world), 10)
            _on(world, "n1", "ip", "link", "del", DEVICE)
            await _hears(world, "said-meanwhile")
            await until(lambda: _hears(world), 10)
            assert not seen.shows(b"said-meanwhile")

    async def nothing_left() -> bool:
        rules, links = _on(world, "n1", "ip", "rule"), _on(world, "n1", "ip", "-br", "link")
        return "4242" not in rules and DEVICE not in links

    await until(nothing_left, 10)
    await until(lambda: _hears(world), 10)


async def test_every_node_has_published_a_key_of_its_own(world: World) -> None:
    async with world.testbed.client() as client:
        found = [(each.meta.annotations or {}).get(node.WIREGUARD_KEY) for each in await client.list(node.KIND)]
    assert len(set(found)) == len(found)
