"""A node that leaves for good; runs last, for it does not come back."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from tests.testbed.world import World, until

from motet.base.errors import NotFound
from motet.kinds import node

pytestmark = pytest.mark.node


async def test_a_node_that_leaves_is_forgotten_by_the_others(world: World) -> None:
    world.testbed.kill("n3")
    async with world.testbed.client() as client:
        await client.delete(node.KIND, "n3")
        with pytest.raises(NotFound):
            await client.get(node.KIND, "n3")

    async def forgotten() -> bool:
        command = world.testbed.box("n1").inside(["ip", "route", "show", "dev", "motet-overlay"])
        routes = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        return len(routes.stdout.splitlines()) == 1

    await until(forgotten, 10)
