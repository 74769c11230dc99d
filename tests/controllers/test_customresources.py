"""Definitions: names are accepted, instances go first, and other loops learn of kinds that come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.custom.conftest import definition as crd
from tests.api.custom.conftest import tab, version
from tests.controllers.builders import NOW
from tests.controllers.world import World, world

from motet.api.custom.serving import CustomKinds
from motet.api.webhooks.client import WebhookClient
from motet.controllers.customresources import CustomResources, decide
from motet.controllers.garbage import GarbageCollector
from motet.controllers.namespaces import Namespaces
from motet.kinds import configmap, namespace
from motet.kinds.custom import definition
from motet.kinds.kind import Kind

Json = dict[str, Any]


def accepted(found: Json) -> str:
    return definition.condition(found, definition.NAMES_ACCEPTED)


def made(found: Json) -> Json:
    definition.KIND.default(found)
    definition.KIND.prepare_create(found)
    return found


def test_deciding_twice_changes_nothing() -> None:
    once = decide(made(crd()), [], NOW)
    assert decide(once, [], NOW) == once


def test_of_two_with_the_same_names_the_first_keeps_them() -> None:
    first = decide(made(crd()), [], NOW)
    second = decide(made(crd(plural="tabs", kind="CronTab")), [first], NOW)
    assert (accepted(first), accepted(second)) == ("True", "False")
    assert decide(first, [second], NOW) == first


def test_a_name_that_is_taken_keeps_out_only_itself() -> None:
    first = decide(made(crd()), [], NOW)
    wanted = made(crd(plural="tabs", kind="Tab"))
    wanted["spec"]["names"]["shortNames"] = ["ct", "tb"]
    second = decide(wanted, [first], NOW)
    assert second["status"]["acceptedNames"]["kind"] == "Tab"
    assert "shortNames" not in second["status"]["acceptedNames"]
    assert definition.condition(second, definition.ESTABLISHED) == "False"


def test_an_established_one_stays_established_when_it_asks_for_a_taken_name() -> None:
    other = decide(made(crd(plural="tabs", kind="Tab")), [], NOW)
    found = decide(made(crd()), [], NOW)
    found["spec"]["names"]["shortNames"] = ["tabs"]
    again = decide(found, [other], NOW)
    assert (accepted(again), definition.condition(again, definition.ESTABLISHED)) == ("False", "True")


@contextlib.asynccontextmanager
async def serving(folder: Path, *loops: Any) -> AsyncIterator[World]:
    async def definitions(it: World) -> None:
        await CustomResources(it.client, it.clock, it.registry.catalogue).run()

    async with world(folder, definitions, *loops) as it:
        custom = CustomKinds(it.registry, WebhookClient(it.registry.cache.table))
        await custom.start()
        try:
            yield it
        finally:
            await custom.stop()


async def established(it: World, **spec: Any) -> Kind:
    await it.create(definition.KIND, crd(**spec))
    return await it.until(lambda: it.registry.catalogue.by_path("example.com", "v1", "crontabs"))


async def collector(it: World) -> None:
    await GarbageCollector(it.client, it.clock, it.registry.catalogue).run()


async def namespaces(it: World) -> None:
    await Namespaces(it.client, it.clock, it.registry.catalogue).run()


async def test_what_a_custom_resource_owns_goes_with_it(tmp_path: Path) -> None:
    async with serving(tmp_path, collector) as it:
        kind = await established(it)
        owner = await it.create(kind, tab())
        reference = {"apiVersion": "example.com/v1", "kind": "CronTab", "name": "one", "uid": owner.meta.uid}
        await it.create(configmap.KIND, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
        await it.client.delete(kind, "one", "default")
        await it.until(lambda: it.get(configmap.KIND, "owned") is None)


async def test_a_custom_resource_goes_with_its_owner(tmp_path: Path) -> None:
    async with serving(tmp_path, collector) as it:
        kind = await established(it)
        owner = await it.create(configmap.KIND, {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.meta.uid}
        owned = tab()
        owned["metadata"]["ownerReferences"] = [reference]
        await it.create(kind, owned)
        await it.client.delete(configmap.KIND, "owner", "default")
        await it.until(lambda: it.get(kind, "one") is None)


async def test_a_namespace_takes_custom_resources_with_it(tmp_path: Path) -> None:
    async with serving(tmp_path, namespaces) as it:
        kind = await established(it)
        await it.create(namespace.KIND, {"metadata": {"name": "team"}})
        await it.create(kind, tab(), "team")
        await it.client.delete(namespace.KIND, "team")
        await it.until(lambda: it.get(namespace.KIND, "team") is None)
        assert it.get(kind, "one", "team") is None


@pytest.mark.parametrize("writes", range(7))
async def test_a_deletion_ends_wherever_the_loop_was_cut_off(tmp_path: Path, writes: int) -> None:
    """The loop dies after each number of writes; its successor finds the rest."""
    async with world(tmp_path) as it:
        custom = CustomKinds(it.registry, WebhookClient(it.registry.cache.table))
        await custom.start()
        cut = Cut(it.client, writes)
        await it.create(definition.KIND, crd(version()))
        first = asyncio.create_task(CustomResources(cut, it.clock, it.registry.catalogue).run())
        served = lambda: it.registry.catalogue.by_path("example.com", "v1", "crontabs")  # noqa: E731
        if await it.until(lambda: served() or cut.stuck) is not True:
            await it.create(served(), tab())
        await it.client.delete(definition.KIND, "crontabs.example.com")
        await it.until(lambda: cut.stuck or gone(it))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(CustomResources(it.client, it.clock, it.registry.catalogue).run())
        try:
            await it.until(lambda: gone(it) and "example.com/crontabs" not in it.registry.cache)
        finally:
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            await custom.stop()


def gone(it: World) -> bool:
    return it.get(definition.KIND, "crontabs.example.com") is None


class Cut:
    """A client that stands still after so many writes."""

    def __init__(self, client: Any, writes: int) -> None:
        self._client = client
        self._left = writes
        self.stuck = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name not in ("update", "patch", "delete", "create"):
            return found

        async def write(*arguments: Any, **more: Any) -> Any:
            if self._left <= 0:
                self.stuck = True
                await asyncio.get_running_loop().create_future()
            self._left -= 1
            return await found(*arguments, **more)

        return write
