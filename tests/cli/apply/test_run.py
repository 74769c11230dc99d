"""Bringing a project up: in order, completely, or not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from motet.base.clock import FakeClock
from motet.base.errors import Forbidden
from motet.cli.apply.journal import Change
from motet.cli.apply.run import Outcome, Run, UpFailed
from motet.cli.apply.states import Phase
from motet.cli.compose.model import Project
from motet.cli.compose.translate import documents
from motet.cli.progress import Quiet
from motet.kinds import app, namespace, persistentvolumeclaim, pod, secret, service
from support.compose_world import World, compose

TWO = """
services:
  web:
    image: web:1
    depends_on: {db: {condition: service_healthy}}
    ports: ["8080:80"]
    secrets: [key]
    deploy: {replicas: 2}
  db:
    image: db:1
    volumes: ["data:/data"]
volumes: {data: }
secrets: {key: {content: hush}}
"""
PARTS = (namespace.KIND, app.KIND, service.KIND, secret.KIND, persistentvolumeclaim.KIND, pod.KIND)


def run_of(world: World, project: Project, timeout: float = 300) -> Run:
    return Run(world, project, documents(project, {}), Quiet(), world.clock, timeout)


async def up(world: World, project: Project) -> Outcome:
    return await run_of(world, project).up()


def everything(world: World) -> dict[str, list[str]]:
    return {kind.plural: world.names(kind) for kind in PARTS}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return compose(tmp_path, TWO)


async def test_everything_is_made_and_ready(world: World, project: Project) -> None:
    outcome = await up(world, project)
    assert outcome.changed
    assert {name: (state.ready, state.wanted) for name, state in outcome.states.items()} == {
        "db": (1, 1),
        "web": (2, 2),
    }
    assert world.names(service.KIND) == ["db", "web", "web-published"]


async def test_a_service_is_written_after_those_it_waits_for(world: World, project: Project) -> None:
    await up(world, project)
    assert world.order == ["db", "web"]


async def test_the_same_file_again_changes_nothing(world: World, project: Project) -> None:
    await up(world, project)
    before = everything(world)
    outcome = await up(world, project)
    assert not outcome.changed
    assert {written.change for written in outcome.written.values()} == {Change.UNCHANGED}
    assert everything(world) == before


async def test_only_what_changed_is_written(world: World, project: Project, tmp_path: Path) -> None:
    await up(world, project)
    outcome = await up(world, compose(tmp_path, TWO.replace("web:1", "web:2")))
    assert {name: written.change for name, written in outcome.written.items()} == {
        "db": Change.UNCHANGED,
        "web": Change.UPDATED,
    }


@pytest.mark.parametrize(
    ("fate", "reason"), [("crash", "CrashLoopBackOff"), ("image", "ErrImagePull"), ("failed", "Error")]
)
async def test_a_service_past_hope_ends_the_run(world: World, project: Project, fate: str, reason: str) -> None:
    world.fate["web"] = fate
    with pytest.raises(UpFailed, match=reason) as caught:
        await up(world, project)
    assert caught.value.service == "web"


async def test_what_was_made_by_a_failed_run_is_gone_afterwards(world: World, project: Project) -> None:
    world.fate["web"] = "crash"
    run = run_of(world, project)
    with pytest.raises(UpFailed):
        await run.up()
    undone = await run.undo()
    assert not undone.failed
    assert everything(world) == {kind.plural: [] for kind in PARTS}


async def test_a_failed_change_puts_everything_back(world: World, project: Project, tmp_path: Path) -> None:
    await up(world, project)
    before = everything(world)
    world.fate["web"] = "crash"
    changed = TWO.replace("web:1", "web:2").replace("data: }", "data: , more: }").replace("data:/data", "more:/data")
    run = run_of(world, compose(tmp_path, changed))
    with pytest.raises(UpFailed):
        await run.up()
    world.fate.clear()
    await run.undo()
    assert everything(world) == before
    assert not (await up(world, compose(tmp_path, TWO))).changed


async def test_volumes_that_were_there_survive_a_failed_run(world: World, project: Project) -> None:
    claim = next(item for item in documents(project, {}) if item["kind"] == "PersistentVolumeClaim")
    space = next(item for item in documents(project, {}) if item["kind"] == "Namespace")
    await world.create(namespace.KIND, space)
    await world.create(persistentvolumeclaim.KIND, claim, "shop")
    world.fate["db"] = "crash"
    run = run_of(world, project)
    with pytest.raises(UpFailed):
        await run.up()
    await run.undo()
    assert world.names(persistentvolumeclaim.KIND) == ["data"]
    assert world.names(app.KIND) == []


async def test_a_refused_document_is_a_failure_that_can_be_taken_back(world: World, project: Project) -> None:
    world.fail["create"] = []
    run = run_of(world, project)
    await world.create(namespace.KIND, {"metadata": {"name": "other"}})
    world.fail["create"] = [Forbidden("namespaces are full")]
    with pytest.raises(UpFailed, match="the cluster refuses it: namespaces are full"):
        await run.up()
    await run.undo()
    assert world.names(namespace.KIND) == ["other"]


async def test_a_service_that_is_never_ready_is_given_up_after_the_timeout(world: World, project: Project) -> None:
    world.fate["db"] = "running"
    assert isinstance(world.clock, FakeClock)
    task = asyncio.create_task(run_of(world, project, timeout=30).up())
    await world.clock.advance(29)
    assert not task.done()
    await world.clock.advance(2)
    with pytest.raises(UpFailed, match="not ready after 30 s: db"):
        await task


async def test_a_pod_that_no_node_takes_is_waited_for_a_while(world: World, project: Project) -> None:
    world.fate["db"] = "unschedulable"
    assert isinstance(world.clock, FakeClock)
    task = asyncio.create_task(up(world, project))
    await world.clock.advance(15)
    assert not task.done()
    await world.clock.advance(10)
    with pytest.raises(UpFailed, match="Unschedulable: no cpu left"):
        await task


async def test_others_wait_for_work_to_be_done(world: World, tmp_path: Path) -> None:
    text = """
services:
  web: {image: web, depends_on: {init: {condition: service_completed_successfully}}}
  init: {image: init}
"""
    world.fate["init"] = "done"
    outcome = await up(world, compose(tmp_path, text))
    assert world.order == ["init", "web"]
    assert outcome.states["init"].phase is Phase.COMPLETED


async def test_a_service_is_believed_only_after_it_has_run_for_a_moment(world: World, tmp_path: Path) -> None:
    assert isinstance(world.clock, FakeClock)
    project = compose(tmp_path, "services: {web: {image: web}}")
    world.fate["web"] = "young"
    task = asyncio.create_task(up(world, project))
    await world.clock.advance(1.5)
    assert not task.done()
    await world.clock.advance(3)
    assert (await task).states["web"].settled
