"""What is told of quotas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, world

from motet.api.quota.book import QuotaBook
from motet.controllers.resourcequotas import ResourceQuotas
from motet.kinds import configmap, pod, resourcequota


async def teller(it: World) -> None:
    book = QuotaBook(it.registry.cache.table, it.clock)
    await ResourceQuotas(it.client, it.clock, book).run()


def status(it: World) -> Any:
    return (it.get(resourcequota.KIND, "q") or {}).get("status")


async def quota(it: World, **hard: str) -> None:
    await it.create(resourcequota.KIND, {"metadata": {"name": "q"}, "spec": {"hard": hard}})


async def test_a_quota_tells_what_is_used_as_it_comes_and_goes(tmp_path: Path) -> None:
    async with world(tmp_path, teller) as it:
        await quota(it, **{"pods": "5", "requests.memory": "1Gi", "configmaps": "3"})
        await it.until(
            lambda: (status(it) or {}).get("used") == {"pods": "0", "requests.memory": "0", "configmaps": "0"}
        )
        container = {"name": "c", "image": "i", "resources": {"requests": {"memory": "64Mi"}}}
        await it.create(pod.KIND, {"metadata": {"name": "p"}, "spec": {"containers": [container]}})
        await it.create(configmap.KIND, {"metadata": {"name": "c"}})
        await it.until(lambda: status(it)["used"] == {"pods": "1", "requests.memory": "64Mi", "configmaps": "1"})
        await it.client.delete(pod.KIND, "p", "default", grace_seconds=0)
        await it.until(lambda: status(it)["used"]["pods"] == "0")


async def test_a_changed_limit_shows_in_the_status(tmp_path: Path) -> None:
    async with world(tmp_path, teller) as it:
        await quota(it, pods="5")
        await it.until(lambda: status(it))
        await it.client.patch(resourcequota.KIND, "q", {"spec": {"hard": {"pods": "7"}}}, "default")
        await it.until(lambda: status(it) == {"hard": {"pods": "7"}, "used": {"pods": "0"}})
