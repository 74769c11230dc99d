"""Networks of other projects, found in the cluster by the names that Compose files give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from motet.base.errors import MotetError
from motet.cli.apply.networks import resolve
from motet.cli.compose.translate import NETWORK_NAME
from motet.kinds import network
from motet.kinds.attachments import NetworkKey
from support.compose_world import World, compose

FILE = "services: {a: {image: a, networks: [proxy]}}\nnetworks:\n  proxy: {external: true, name: NAME}\n"


async def there(world: World, namespace: str, name: str, called: str = "", **spec: Any) -> None:
    annotations = {NETWORK_NAME: called} if called else {}
    document = {"metadata": {"name": name, "namespace": namespace, "annotations": annotations}, "spec": spec}
    await world.create(network.KIND, document, namespace)


async def found(world: World, folder: Path, name: str) -> NetworkKey:
    return (await resolve(world, compose(folder, FILE.replace("NAME", name))))["proxy"]


async def test_another_projects_network_is_called_as_compose_calls_it(tmp_path: Path) -> None:
    world = World()
    await there(world, "gate", "public-net", "gate_public_net", namespaces=["*"])
    assert await found(world, tmp_path, "gate_public_net") == NetworkKey("gate", "public-net")


async def test_one_made_by_hand_is_called_by_its_own_name(tmp_path: Path) -> None:
    world = World()
    await there(world, "infra", "proxy", namespaces=["shop"])
    await there(world, "other", "proxy", "other_proxy")
    assert await found(world, tmp_path, "proxy") == NetworkKey("infra", "proxy")


async def test_one_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(MotetError, match=r":3: networks.proxy: network gate_x declared as external, but could not be"):
        await found(World(), tmp_path, "gate_x")


async def test_one_that_lets_nobody_in_is_told_with_the_next_step(tmp_path: Path) -> None:
    world = World()
    await there(world, "gate", "public", "gate_public")
    with pytest.raises(MotetError, match=r"(?s)gate_public \(gate/public\) lets no other project in.*attachable: true"):
        await found(world, tmp_path, "gate_public")


async def test_a_name_with_two_meanings_is_not_guessed(tmp_path: Path) -> None:
    world = World()
    for namespace in ("a", "b"):
        await there(world, namespace, "proxy", namespaces=["*"])
    with pytest.raises(MotetError, match="the name proxy could mean a/proxy, b/proxy"):
        await found(world, tmp_path, "proxy")
