"""What goes with its owner, what waits for its dependents, what is set free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.controllers.world import World, kubelet, world

from motet.controllers.garbage import (
    FOREGROUND,
    ORPHAN,
    Delete,
    DeleteDependents,
    Drop,
    Finish,
    FreeDependents,
    GarbageCollector,
    OwnerState,
    Unblock,
    decide,
)
from motet.kinds import configmap, deployment, pod, replicaset
from motet.kinds.catalogue import Catalogue
from motet.store.document import Meta, OwnerReference

PRESENT, WAITING, GONE, UNKNOWN = OwnerState.PRESENT, OwnerState.WAITING, OwnerState.GONE, OwnerState.UNKNOWN
NOW = "2026-01-01T00:00:00Z"


def owners(*states: OwnerState) -> list[tuple[OwnerReference, OwnerState]]:
    return [(OwnerReference("v1", "Owner", f"o{n}", f"u{n}"), state) for n, state in enumerate(states)]


def dependent(*, blocks: bool = True, leaving: bool = False) -> Meta:
    reference = OwnerReference("v1", "Item", "item", "me", block_owner_deletion=blocks)
    return Meta(
        owner_references=(reference,),
        deletion_timestamp=NOW if leaving else None,
        finalizers=(FOREGROUND,) if leaving else None,
    )


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], []),
        ([PRESENT], []),
        ([UNKNOWN], []),
        ([GONE], [Delete("Background")]),
        ([WAITING], [Delete("Background")]),
        ([GONE, GONE], [Delete("Background")]),
        ([PRESENT, GONE], [Drop(frozenset({"u1"}))]),
        ([PRESENT, WAITING], [Drop(frozenset({"u1"}))]),
        ([UNKNOWN, GONE], [Drop(frozenset({"u1"}))]),
    ],
)
def test_an_object_lives_as_long_as_one_owner_does(states: list[OwnerState], expected: list[Any]) -> None:
    assert decide(Meta(uid="me"), owners(*states), []) == expected


def test_what_a_waiting_owner_waits_for_passes_the_waiting_on() -> None:
    assert decide(Meta(uid="me"), owners(WAITING), [dependent()]) == [Delete("Foreground")]


def test_a_circle_of_waiting_is_broken() -> None:
    steps = decide(Meta(uid="me"), owners(WAITING), [dependent(leaving=True)])
    assert steps == [Unblock(), Delete("Foreground")]


def test_foreground_deletion_ends_when_nothing_blocks_it() -> None:
    leaving = Meta(uid="me", deletion_timestamp=NOW, finalizers=(FOREGROUND,))
    assert decide(leaving, [], [dependent()]) == [DeleteDependents()]
    assert decide(leaving, [], [dependent(blocks=False)]) == [DeleteDependents(), Finish(FOREGROUND)]
    assert decide(leaving, [], []) == [Finish(FOREGROUND)]


def test_orphaning_frees_the_dependents_first() -> None:
    leaving = Meta(uid="me", deletion_timestamp=NOW, finalizers=(ORPHAN,))
    assert decide(leaving, [], [dependent()]) == [FreeDependents(), Finish(ORPHAN)]


def test_an_object_on_its_way_out_needs_no_second_push() -> None:
    assert decide(Meta(uid="me", deletion_timestamp=NOW), owners(GONE), [dependent()]) == []


async def garbage(world: World) -> None:
    await GarbageCollector(world.client, world.clock, Catalogue()).run()


def owned(name: str, *owners: dict[str, Any], blocks: bool = True) -> dict[str, Any]:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": blocks,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "namespace": "default", "ownerReferences": references}}


async def config(world: World, name: str, *owners: dict[str, Any]) -> dict[str, Any]:
    return (await world.create(configmap.KIND, owned(name, *owners))).decode()


def names(world: World) -> set[str]:
    return {each["metadata"]["name"] for each in world.all(configmap.KIND)}


async def test_dependents_follow_their_owner_down_the_whole_chain(tmp_path: Path) -> None:
    async with world(tmp_path, garbage) as it:
        top = await config(it, "top")
        middle = await config(it, "middle", top)
        await config(it, "bottom", middle)
        await config(it, "apart")
        await it.client.delete(configmap.KIND, "top", "default")
        await it.until(lambda: names(it) == {"apart"})


async def test_what_has_another_owner_stays_and_forgets_the_one_that_went(tmp_path: Path) -> None:
    async with world(tmp_path, garbage) as it:
        one, two = await config(it, "one"), await config(it, "two")
        await config(it, "shared", one, two)
        await it.client.delete(configmap.KIND, "one", "default")

        def owners_left() -> list[str]:
            shared = it.get(configmap.KIND, "shared") or {}
            return [each["name"] for each in shared["metadata"]["ownerReferences"]]

        await it.until(lambda: owners_left() == ["two"])


async def test_an_owner_that_was_made_anew_under_its_name_is_another_one(tmp_path: Path) -> None:
    async with world(tmp_path, garbage) as it:
        top = await config(it, "top")
        top["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
        await config(it, "stale", top)
        await it.until(lambda: names(it) == {"top"})


async def test_what_an_unserved_kind_owns_is_kept(tmp_path: Path) -> None:
    async with world(tmp_path, garbage) as it:
        foreign = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w", "uid": "u"}}
        await config(it, "kept", foreign)
        top = await config(it, "top")
        await config(it, "gone", top)
        await it.client.delete(configmap.KIND, "top", "default")
        await it.until(lambda: names(it) == {"kept"})


async def test_foreground_deletion_takes_the_owner_last(tmp_path: Path) -> None:
    async with world(tmp_path, garbage) as it:
        top = await config(it, "top")
        held = owned("held", top)
        held["metadata"]["finalizers"] = ["example.com/wait"]
        await it.create(configmap.KIND, held)
        await it.client.delete(configmap.KIND, "top", "default", propagation="Foreground")
        await it.until(lambda: (it.get(configmap.KIND, "held") or {})["metadata"].get("deletionTimestamp"))
        assert "top" in names(it)
        await it.client.patch(configmap.KIND, "held", {"metadata": {"finalizers": None}}, "default")
        await it.until(lambda: not names(it))


async def test_owners_in_a_circle_all_go(tmp_path: Path) -> None:
    async with world(tmp_path, garbage) as it:
        one = await config(it, "one")
        two = await config(it, "two", one)
        await it.client.patch(configmap.KIND, "one", owned("one", two), "default")
        await it.client.delete(configmap.KIND, "one", "default", propagation="Foreground")
        await it.until(lambda: not names(it))


async def test_orphaned_dependents_stay_and_have_no_owner(tmp_path: Path) -> None:
    async with world(tmp_path, garbage) as it:
        top = await config(it, "top")
        await config(it, "free", top)
        await it.client.delete(configmap.KIND, "top", "default", propagation="Orphan")
        await it.until(lambda: names(it) == {"free"})
        assert not (it.get(configmap.KIND, "free") or {})["metadata"].get("ownerReferences")


async def test_a_deployment_takes_its_sets_and_pods_along(tmp_path: Path) -> None:
    from tests.controllers.test_workloads import complete, deployments, replicasets, web

    async with world(tmp_path, garbage, deployments, replicasets, kubelet) as it:
        await it.create(deployment.KIND, web(3))
        await it.until(lambda: complete(it, 3))
        await it.client.delete(deployment.KIND, "web", "default", propagation="Foreground")
        await it.until(lambda: not it.all(deployment.KIND))
        assert not it.all(replicaset.KIND)
        assert not it.all(pod.KIND)
