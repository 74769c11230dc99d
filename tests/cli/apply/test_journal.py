"""Writes that can be taken back, at any point."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.base.errors import Conflict, Forbidden, MotetError, NotFound
from motet.cli.apply.journal import Change, Journal
from motet.cli.compose.translate import documents
from motet.kinds import configmap, network
from motet.kinds.catalogue import KINDS
from support.compose_world import World, compose

FILE = """
services:
  a: {image: a, ports: ["80"], configs: [c]}
  b: {image: b}
configs: {c: {content: one}}
"""


def config(value: str = "one", **metadata: object) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "shop", **metadata},
        "data": {"content": value},
    }


def contents(world: World) -> dict[str, object]:
    """Everything in the cluster apart from revisions, identities and Apps' status."""
    found = {}
    for key, document in world._documents.items():
        if document.key.resource == "core/pods":
            continue
        body = document.decode()
        body.pop("status", None)
        for field in ("resourceVersion", "uid", "creationTimestamp", "generation"):
            body["metadata"].pop(field, None)
        found[key] = body
    return found


async def test_what_is_not_there_is_created() -> None:
    written = await Journal(World()).apply(config())
    assert written.change is Change.CREATED


async def test_what_is_as_wanted_is_left_alone() -> None:
    world = World()
    await Journal(world).apply(config())
    journal = Journal(world)
    assert (await journal.apply(config())).change is Change.UNCHANGED
    assert not journal.changed


async def test_labels_of_others_stay_and_ours_go_when_no_longer_wanted() -> None:
    world = World()
    await world.create(configmap.KIND, config(labels={"theirs": "1", "motet.dev/old": "1"}))
    await Journal(world).apply(config("two", labels={"motet.dev/new": "1"}))
    labels = (await world.get(configmap.KIND, "c", "shop")).meta.labels
    assert labels == {"theirs": "1", "motet.dev/new": "1"}


async def test_a_write_that_somebody_else_overtook_is_tried_again() -> None:
    world = World()
    await Journal(world).apply(config())
    world.fail["update"] = [Conflict("changed")]
    assert (await Journal(world).apply(config("two"))).change is Change.UPDATED


async def test_what_is_being_deleted_is_not_written_over() -> None:
    world = World()
    await world.create(configmap.KIND, config(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"]))
    with pytest.raises(MotetError, match="ConfigMap c is just being deleted"):
        await Journal(world).apply(config())


async def test_undoing_goes_on_after_something_cannot_be_undone() -> None:
    world = World()
    journal = Journal(world)
    await journal.apply(config())
    await journal.apply({**config(), "metadata": {"name": "d", "namespace": "shop"}})
    world.fail["delete"] = [Forbidden("not this one")]
    undone = await journal.undo()
    assert undone.failed == ["ConfigMap d: not this one"]
    with pytest.raises(NotFound):
        await world.get(configmap.KIND, "c", "shop")


async def test_a_second_undo_does_nothing() -> None:
    world = World()
    journal = Journal(world)
    await journal.apply(config())
    await journal.undo()
    writes = list(world.writes)
    assert (await journal.undo()).sentence() == "nothing had been changed"
    assert world.writes == writes


async def test_an_object_made_anew_by_somebody_else_is_not_deleted() -> None:
    world = World()
    journal = Journal(world)
    await journal.apply(config())
    await world.delete(configmap.KIND, "c", "shop")
    await world.create(configmap.KIND, config("theirs"))
    await journal.undo()
    assert (await world.get(configmap.KIND, "c", "shop")).decode()["data"] == {"content": "theirs"}


async def test_a_network_goes_when_the_pods_on_it_have_gone() -> None:
    world = World()
    journal = Journal(world)
    body = {"apiVersion": "motet.dev/v1", "kind": "Network", "metadata": {"name": "back", "namespace": "shop"}}
    await journal.apply(body)
    undone = await journal.undo()
    assert world.names(network.KIND) == ["back"]
    await journal.undo_networks(undone)
    assert world.names(network.KIND) == []
    assert undone.sentence() == "undone: 1 new object removed"


@settings(max_examples=40, deadline=None)
@given(stop=st.integers(0, 12), image=st.sampled_from(["a", "a2"]), content=st.sampled_from(["one", "two"]))
@pytest.mark.parametrize("fresh", [True, False])
def test_any_prefix_of_a_run_can_be_taken_back(
    tmp_path_factory: pytest.TempPathFactory, fresh: bool, stop: int, image: str, content: str
) -> None:
    import asyncio

    async def law() -> None:
        world, folder = World(), tmp_path_factory.mktemp("law")
        if not fresh:
            journal = Journal(world)
            for document in documents(compose(folder, FILE), {}):
                await journal.apply(document)
        before = contents(world)
        changed = FILE.replace("image: a", f"image: {image}").replace("content: one", f"content: {content}")
        journal = Journal(world)
        for document in documents(compose(folder, changed), {})[:stop]:
            await journal.apply(document)
        await journal.undo_networks(await journal.undo())
        assert contents(world) == before

    asyncio.run(law())


def test_every_kind_a_project_is_made_of_is_one_the_cluster_has(tmp_path: Path) -> None:
    known = {(kind.api_version, kind.kind) for kind in KINDS}
    assert {(item["apiVersion"], item["kind"]) for item in documents(compose(tmp_path, FILE), {})} <= known
