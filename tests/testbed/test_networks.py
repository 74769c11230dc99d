"""Networks across nodes: pods kept apart wherever they are, and published ports that answer on every node all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.testbed.world import NODES, World, reaches, until

from motet.kinds import network, pod
from motet.kinds.attachments import ANNOTATION

pytestmark = pytest.mark.node

EVERYBODY = dict.fromkeys(NODES, "n1 n2 n3")


@pytest.fixture
async def joined(world: World) -> AsyncIterator[World]:
    """The pods of n1 and n2 are on one Network, that of n3 on another."""
    await until(lambda: reaches(world, EVERYBODY))
    async with world.testbed.client() as client:

        async def join(name: str, networks: str | None) -> None:
            await client.patch(
                pod.KIND, f"web-{name}", {"metadata": {"annotations": {ANNOTATION: networks}}}, "default"
            )

        for name in ("pair", "single"):
            await client.create(network.KIND, {"metadata": {"name": name}, "spec": {"attachable": True}}, "default")
        for name, networks in (("n1", "pair=peer"), ("n2", "pair=peer"), ("n3", "single")):
            await join(name, networks)
        yield world
        for name in NODES:
            await join(name, None)
        for name in ("pair", "single"):
            await client.delete(network.KIND, name, "default")
        await until(lambda: reaches(world, EVERYBODY))


async def test_networks_hold_between_nodes_and_published_ports_answer_on_all_of_them(joined: World) -> None:
    await until(lambda: reaches(joined, {"n1": "n1 n2", "n2": "n1 n2", "n3": "n3"}))
    lookup = "nslookup peer.default.svc.cluster.local. 2>&1"
    found = await joined.in_pod("n1", lookup)
    assert all(joined.addresses[name] in found for name in ("n1", "n2"))
    assert "NXDOMAIN" in await joined.in_pod("n3", f"{lookup} || true")
    for name in NODES:
        assert len({joined.from_machine(f"http://{joined.testbed.address(name)}:30080/") for _ in range(12)}) > 1
        assert joined.from_machine(f"http://{joined.addresses['n1']}:8080/", node=name) == "web-n1", (
            "nodes reach all pods"
        )
    script = "".join("timeout 2 wget -q -O - http://ADDRESS:30080/; " for _ in range(9))
    answers = await joined.in_pod("n3", script.replace("ADDRESS", joined.testbed.address("n3")))
    assert len(answers.split()) == 9, (
        "also from a pod by its own node, though the pods behind it are not on its Network"
    )
