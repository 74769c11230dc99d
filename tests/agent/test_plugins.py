"""CSI drivers of a node: found by their sockets, told to the cluster, and taken back."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.controllers.world import World, world
from tests.support.csidriver import CsiDriver

from motet.agent import plugins
from motet.agent.plugins import Plugins
from motet.base.clock import FakeClock
from motet.kinds import csidriver, csinode, node
from motet.runtime.csi import NodeInfo, PluginInfo

NODE = "n1"


@dataclass
class Room:
    """A node with a place for sockets."""

    root: Path
    base: Path
    world: World
    clock: FakeClock
    plugins: Plugins

    async def driver(self, name: str = "disk.example.com", **facts: Any) -> CsiDriver:
        made = CsiDriver(self.base / name, self.root, name, **facts)
        await made.start()
        return made

    async def look(self) -> None:
        await self.plugins.look(self.plugins._sockets())

    def told(self) -> list[dict[str, Any]]:
        found = self.world.get(csinode.KIND, NODE)
        return (found or {}).get("spec", {}).get("drivers") or []

    def labels(self) -> dict[str, str]:
        found = self.world.get(node.KIND, NODE)
        assert found is not None
        return dict(found["metadata"].get("labels") or {})


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Room]:
    # The path of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="mp", dir="/tmp") as short:
        root = Path(short)
        (root / "plugins_registry").mkdir()
        async with _at(root, directory) as made:
            yield made


@asynccontextmanager
async def _at(root: Path, directory: Path) -> AsyncIterator[Room]:
    async with world(directory) as running:
        made = await running.create(node.KIND, {"metadata": {"name": NODE, "labels": {"zone": "a"}}})
        clock = FakeClock()
        found = Plugins(root, running.client, clock, NODE, lambda: made.meta.uid)
        yield Room(root, directory / "drivers", running, clock, found)
        for each in found.drivers.values():
            await each.driver.close()


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened(tmp_path) as made:
        yield made


async def test_a_driver_is_told_to_the_cluster_and_to_itself(room: Room) -> None:
    driver = await room.driver(most=7, topology={"disk.example.com/zone": "a"})
    await room.look()
    assert room.told() == [
        {
            "name": "disk.example.com",
            "nodeID": "node-one",
            "topologyKeys": ["disk.example.com/zone"],
            "allocatable": {"count": 7},
        }
    ]
    assert room.labels() == {"zone": "a", "disk.example.com/zone": "a"}
    assert driver.notified == [(True, "")]
    owner = (room.world.get(csinode.KIND, NODE) or {})["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Node", NODE)
    await driver.stop()


async def test_a_driver_whose_socket_goes_is_taken_back_and_the_others_stay(room: Room) -> None:
    first, second = await room.driver("a.example.com"), await room.driver("b.example.com")
    await room.look()
    assert [each["name"] for each in room.told()] == ["a.example.com", "b.example.com"]
    await first.stop()
    await room.look()
    assert [each["name"] for each in room.told()] == ["b.example.com"]
    assert list(room.plugins.drivers) == ["b.example.com"]
    await second.stop()


async def test_a_driver_that_comes_back_as_another_replaces_its_entry(room: Room) -> None:
    driver = await room.driver(most=7)
    await room.look()
    await driver.stop()
    driver = await room.driver(most=9, node_id="node-two")
    await room.look()
    assert room.told() == [{"name": "disk.example.com", "nodeID": "node-two", "allocatable": {"count": 9}}]
    await driver.stop()


async def test_a_driver_that_fails_is_asked_again_ever_more_seldom(room: Room) -> None:
    driver = await room.driver()
    (driver.base / "fail-NodeGetInfo").write_text("not yet")
    asked = []
    for _ in range(8):
        await room.look()
        asked.append((driver.base / "calls").read_text().count('"NodeGetInfo"'))
        await room.clock.advance(1)
    assert asked == [1, 2, 2, 3, 3, 3, 3, 4]
    assert not room.told()
    (driver.base / "fail-NodeGetInfo").unlink()
    await room.clock.advance(30)
    await room.look()
    assert [each["name"] for each in room.told()] == ["disk.example.com"]
    await driver.stop()


async def test_how_many_volumes_there_may_be_is_asked_again_where_the_driver_wants_that(room: Room) -> None:
    often = {"nodeAllocatableUpdatePeriodSeconds": 20}
    await room.world.create(csidriver.KIND, {"metadata": {"name": "a.example.com"}, "spec": often})
    await room.world.create(csidriver.KIND, {"metadata": {"name": "b.example.com"}, "spec": {}})
    drivers = [await room.driver(name, most=7) for name in ("a.example.com", "b.example.com")]
    await room.look()
    for each in drivers:
        each.most = 5
    for seconds, counts in ((19, [7, 7]), (1, [5, 7]), (100, [5, 7])):
        await room.clock.advance(seconds)
        await room.look()
        assert [each["allocatable"]["count"] for each in room.told()] == counts
    for each in drivers:
        await each.stop()


async def test_a_second_driver_of_a_name_is_refused_and_told_why(room: Room, tmp_path: Path) -> None:
    driver = await room.driver()
    await room.look()
    again = CsiDriver(tmp_path / "again", room.root, "disk.example.com")
    again.registration = room.root / "plugins_registry" / "again-reg.sock"
    await again._serve(again.registration, "pluginregistration")
    await room.look()
    assert again.notified == [(False, "a driver disk.example.com is registered already")]
    assert list(room.plugins.drivers) == ["disk.example.com"]
    await again.stop()
    await driver.stop()


async def test_a_place_that_contradicts_the_nodes_labels_is_refused(room: Room) -> None:
    driver = await room.driver(topology={"zone": "b"})
    await room.look()
    [(registered, why)] = driver.notified
    assert not registered
    assert 'driver reported "zone":"b" but existing label is "zone":"a"' in why
    assert not room.told()
    await driver.stop()


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (PluginInfo("DevicePlugin", "x", "/s", ("1.0.0",)), "no handler registered for plugin type: DevicePlugin"),
        (PluginInfo("CSIPlugin", "", "/s", ("1.0.0",)), "the plugin has no name"),
        (PluginInfo("CSIPlugin", "x", "/s", ("0.3.0", "v2.0.0")), "none of the versions 0.3.0, v2.0.0 of CSI"),
        (PluginInfo("CSIPlugin", "x", "/s", ("v1.5.0",)), ""),
    ],
)
def test_what_a_node_cannot_use_is_named(info: PluginInfo, why: str) -> None:
    assert why in plugins.problem(info)
    assert bool(plugins.problem(info)) is bool(why)


def test_a_driver_without_a_number_has_none() -> None:
    assert plugins.entry("x", NodeInfo("n", frozenset(), 0, {})) == {"name": "x", "nodeID": "n"}
