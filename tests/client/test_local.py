from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.registry.cluster import config, kernel, pod

from motet.api.options import PatchType
from motet.base import selectors
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.client.local import LocalClient
from motet.kinds import configmap
from motet.kinds import pod as pods


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with kernel(tmp_path) as registry:
        local = LocalClient(registry)
        yield local
        await local.close()


def labelled(name: str, app: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": app}}}


async def test_every_verb_works_in_process(client: Client) -> None:
    made = await client.create(configmap.KIND, config("a", x="1"), "default")
    assert await client.get(configmap.KIND, "a", "default") is made
    updated = await client.update(configmap.KIND, {**made.decode(), "data": {"y": "2"}})
    patched = await client.patch(configmap.KIND, "a", {"data": {"z": "3"}}, "default", patch_type=PatchType.MERGE)
    assert patched.revision > updated.revision > made.revision
    assert [found.name for found in await client.list(configmap.KIND, "default")] == ["a"]
    await client.delete(configmap.KIND, "a", "default", uid=made.meta.uid)
    with pytest.raises(NotFound):
        await client.get(configmap.KIND, "a", "default")


async def test_a_callers_document_stays_as_it_was(client: Client) -> None:
    document = pod()
    await client.create(pods.KIND, document, "default")
    assert document == pod()


async def test_an_unfiltered_table_is_the_caches_own(client: Client) -> None:
    assert await client.table(configmap.KIND) is await client.table(configmap.KIND)


async def test_a_filtered_table_follows_what_enters_and_leaves_it(client: Client) -> None:
    await client.create(configmap.KIND, labelled("a", "x"), "default")
    table = await client.table(configmap.KIND, "default", labels=selectors.parse("app=x"))
    seen: list[tuple[str | None, str | None]] = []
    table.listen(lambda old, new: seen.append((old and old.name, new and new.name)))
    assert [found.name for found in table] == ["a"]
    await client.create(configmap.KIND, labelled("b", "y"), "default")
    await client.patch(configmap.KIND, "b", {"metadata": {"labels": {"app": "x"}}}, "default")
    await client.patch(configmap.KIND, "a", {"metadata": {"labels": {"app": "y"}}}, "default")
    await client.delete(configmap.KIND, "b", "default")
    assert seen == [(None, "b"), ("a", None), ("b", None)]
    assert len(table) == 0


async def test_a_table_of_one_nodes_pods_follows_bindings(client: Client) -> None:
    table = await client.table(pods.KIND, fields=selectors.parse_fields("spec.nodeName=n1"))
    await client.create(pods.KIND, pod(), "default")
    assert len(table) == 0
    assert await client.bind([("default", "web", "", "n1")]) == [None]
    assert [found.name for found in table.by_field("spec.nodeName", "n1")] == ["web"]


async def test_a_closed_client_follows_no_longer(client: Client) -> None:
    table = await client.table(configmap.KIND, "default")
    await client.close()
    await client.create(configmap.KIND, config("a"), "default")
    assert len(table) == 0
