from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from motet.agent.local_volumes import LocalVolumes
from motet.base.clock import FakeClock
from motet.base.errors import NotFound
from motet.kinds import persistentvolume as volume_kind
from support.fake_client import FakeClient


def volume(path: Path, node: str = "n1", policy: str = "Delete") -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    return {
        "metadata": {"name": "pv", "labels": {"motet.dev/node": node}, "finalizers": ["motet.dev/local-path"]},
        "spec": {
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            "persistentVolumeReclaimPolicy": policy,
        },
    }


@asynccontextmanager
async def looking_after(client: FakeClient, clock: FakeClock, tmp_path: Path) -> AsyncIterator[None]:
    keeper = LocalVolumes(client, clock, "n1", tmp_path / "volumes", tmp_path / "pods")
    task = asyncio.create_task(keeper.run())
    await clock.advance(1)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settled(client: FakeClient, clock: FakeClock) -> bool:
    """Whether the volume is gone from the API, after the keeper's threads had time to work."""
    for _ in range(100):
        await clock.advance(31)
        try:
            await client.get(volume_kind.KIND, "pv")
        except NotFound:
            return True
        await asyncio.sleep(0.002)
    return False


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "volumes" / "data"
    path.mkdir(parents=True)
    (path / "file").write_text("x")
    return path


async def test_a_deleted_volume_takes_its_data_along(tmp_path: Path, data: Path):
    clock = FakeClock()
    client = FakeClient(clock)
    await client.create(volume_kind.KIND, volume(data))
    async with looking_after(client, clock, tmp_path):
        await client.delete(volume_kind.KIND, "pv")
        assert await settled(client, clock)
    assert not data.exists()


async def test_retained_data_stays(tmp_path: Path, data: Path):
    clock = FakeClock()
    client = FakeClient(clock)
    await client.create(volume_kind.KIND, volume(data, policy="Retain"))
    async with looking_after(client, clock, tmp_path):
        await client.delete(volume_kind.KIND, "pv")
        assert await settled(client, clock)
    assert data.exists()


async def test_another_nodes_volume_is_none_of_our_business(tmp_path: Path, data: Path):
    clock = FakeClock()
    client = FakeClient(clock)
    await client.create(volume_kind.KIND, volume(data, node="n2"))
    async with looking_after(client, clock, tmp_path):
        await client.delete(volume_kind.KIND, "pv")
        await clock.advance(100)
        assert (await client.get(volume_kind.KIND, "pv")).meta.finalizers


async def test_data_outside_the_volumes_directory_is_never_removed(tmp_path: Path):
    clock = FakeClock()
    client = FakeClient(clock)
    precious = tmp_path / "precious"
    precious.mkdir()
    await client.create(volume_kind.KIND, volume(precious))
    async with looking_after(client, clock, tmp_path):
        await client.delete(volume_kind.KIND, "pv")
        assert await settled(client, clock)
    assert precious.exists()
