"""The roles every cluster begins with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.registry.cluster import ADMIN, kernel

from motet.api.rbac import bootstrap, policy
from motet.api.registry import Registry
from motet.kinds import namespace
from motet.kinds.rbac import clusterrole, clusterrolebinding


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with kernel(tmp_path) as running:
        await running.create(namespace.KIND, "", {"metadata": {"name": "kube-system"}}, ADMIN)
        await bootstrap.ensure(running)
        yield running


async def test_a_second_start_writes_nothing(registry: Registry) -> None:
    before = registry.store.revision
    await bootstrap.ensure(registry)
    assert registry.store.revision == before


async def test_what_was_deleted_or_taken_away_comes_back(registry: Registry) -> None:
    await registry.delete(clusterrole.KIND, "", "system:discovery", ADMIN)
    document = registry.table(clusterrolebinding.KIND).get("system:basic-user")
    assert document is not None
    await registry.update(
        clusterrolebinding.KIND, "", "system:basic-user", {**document.decode(), "subjects": []}, ADMIN
    )
    await bootstrap.ensure(registry)
    assert registry.table(clusterrole.KIND).get("system:discovery") is not None
    again = registry.table(clusterrolebinding.KIND).get("system:basic-user")
    assert again is not None
    assert again.decode()["subjects"][0]["name"] == "system:authenticated"


async def test_what_was_added_stays_and_what_says_so_is_left_alone(registry: Registry) -> None:
    more = {"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}
    for name, update in (("system:kube-dns", "true"), ("system:node-proxier", "false")):
        document = registry.table(clusterrole.KIND).get(name)
        assert document is not None
        changed = document.decode()
        changed["rules"] = [more]
        changed["metadata"]["annotations"] = {policy.AUTO_UPDATE: update}
        await registry.update(clusterrole.KIND, "", name, changed, ADMIN)
    await bootstrap.ensure(registry)
    kept, left = (registry.table(clusterrole.KIND).get(name) for name in ("system:kube-dns", "system:node-proxier"))
    assert kept is not None
    assert left is not None
    assert more in kept.decode()["rules"]
    assert len(kept.decode()["rules"]) > 1
    assert left.decode()["rules"] == [more]
