"""Which project a verb is about, ending one, and making a service larger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click
import pytest

from motet.base.clock import FakeClock
from motet.base.errors import Forbidden, MotetError
from motet.cli import down, project, scale
from motet.cli.apply.orphans import orphans, remove
from motet.cli.apply.run import Run
from motet.cli.compose.translate import documents
from motet.cli.progress import Quiet
from motet.kinds import app, namespace, network, persistentvolumeclaim, service
from motet.kinds.kind import Kind
from support.compose_world import World, compose

FILE = "services: {web: {image: x, volumes: ['data:/d'], ports: ['80:80']}, db: {image: x}}\nvolumes: {data: }"


@pytest.fixture
def world() -> World:
    return World()


async def bring_up(world: World, folder: Path, text: str = FILE, name: str = "shop") -> None:
    wanted = compose(folder, text, name)
    await Run(world, wanted, documents(wanted, {}), Quiet(), world.clock, 300).up()


async def take_down(world: World, *, volumes: bool = False) -> list[str] | None:
    return await down.take_down(world, "shop", Quiet(), world.clock, volumes=volumes, timeout=30)


@pytest.mark.parametrize("name", project.FILES)
def test_a_folders_file_is_found_under_its_usual_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("services: {}")
    assert project.found_file(tmp_path) == tmp_path / name


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x}}")
    assert project.load(project.Written((tmp_path,)), "p").file == tmp_path / "compose.yaml"


def test_no_file_is_said_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MotetError, match=r"there is no compose\.yaml in .*; name the file: motet up FILE"):
        project.load(project.Written(), "")


async def test_a_project_whose_network_others_are_on_says_who_and_stays(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path)
    refused = Forbidden('networks.motet.dev "default" is forbidden: network shop/default is in use by pod blog/web')
    delete = world.delete

    async def in_use(kind: Kind, *where: str, **options: Any) -> None:
        if kind is network.KIND:
            raise refused
        await delete(kind, *where, **options)

    world.delete = in_use  # type: ignore[method-assign]
    with pytest.raises(MotetError, match="is in use by pod blog/web\n  next: take down who is on it"):
        await take_down(world, volumes=True)
    world.delete = delete  # type: ignore[method-assign]
    assert await take_down(world, volumes=True) is None


async def test_the_only_project_needs_no_name(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await bring_up(world, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert await project.select(world, "") == "shop"
    await bring_up(world, tmp_path, name="blog")
    with pytest.raises(MotetError, match="say which one with -p: blog, shop"):
        await project.select(world, "")
    assert await project.select(world, "blog") == "blog"


async def test_down_keeps_volumes_and_their_namespace(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path)
    assert await take_down(world) == ["data"]
    assert world.names(app.KIND) == world.names(service.KIND) == []
    assert world.names(persistentvolumeclaim.KIND) == ["data"]


async def test_down_with_volumes_leaves_nothing(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path)
    assert await take_down(world, volumes=True) is None
    assert world.names(namespace.KIND) == world.names(persistentvolumeclaim.KIND) == []


async def test_a_project_without_volumes_goes_entirely(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path, "services: {a: {image: x}}")
    assert await take_down(world) is None
    assert world.names(namespace.KIND) == []


async def test_services_that_left_the_file_are_found_and_removed(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path)
    smaller = compose(tmp_path, "services: {db: {image: x}}")
    assert await orphans(world, smaller) == ["web"]
    await remove(world, smaller)
    assert world.names(app.KIND) == ["db"]
    assert world.names(service.KIND) == ["db"]


@pytest.mark.parametrize("wrong", ["web", "web=", "=3", "web=-1", "web=x", "web=²"])
def test_sizes_have_a_form(wrong: str) -> None:
    with pytest.raises(click.BadParameter, match="expected SERVICE=N"):
        scale.parse((wrong,))


async def test_scaling_writes_the_size_and_waits(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path)
    await scale.resize(world, "shop", {"web": 3})
    found = await scale.settle(world, "shop", ["web"], Quiet(), world.clock, 30)
    assert (found["web"].ready, found["web"].wanted) == (3, 3)


async def test_nothing_is_scaled_when_one_service_is_not_there(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path)
    world.order.clear()
    with pytest.raises(MotetError, match="project shop has no service nope"):
        await scale.resize(world, "shop", {"web": 3, "nope": 1})
    assert world.order == []


async def test_global_services_cannot_be_scaled(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path, "services: {a: {image: x, deploy: {mode: global}}}")
    with pytest.raises(MotetError, match="a runs on every node"):
        await scale.resize(world, "shop", {"a": 2})


async def test_scaling_that_never_gets_ready_is_late(world: World, tmp_path: Path) -> None:
    await bring_up(world, tmp_path)
    world.fate["web"] = "running"
    await scale.resize(world, "shop", {"web": 2})
    assert isinstance(world.clock, FakeClock)
    task = asyncio.create_task(scale.settle(world, "shop", ["web"], Quiet(), world.clock, 30))
    await world.clock.advance(32)
    with pytest.raises(MotetError, match="not ready after 30 s: web"):
        await task
