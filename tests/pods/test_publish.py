from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from motet.base.clock import FakeClock
from motet.base.errors import Unavailable
from motet.kinds import pod as pod_kind
from motet.pods.publish import StatusWriter
from motet.store.document import Document
from support.fake_client import FakeClient
from support.pods import body

RUNNING = {"phase": "Running", "conditions": []}


@asynccontextmanager
async def writing(client: FakeClient, clock: FakeClock) -> AsyncIterator[StatusWriter]:
    writer = StatusWriter(client, clock)
    task = asyncio.create_task(writer.run())
    yield writer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def made(client: FakeClient) -> Document:
    return await client.create(pod_kind.KIND, body())


async def phase(client: FakeClient) -> str:
    return str((await client.get(pod_kind.KIND, "web", "default")).decode()["status"]["phase"])


def patches(client: FakeClient) -> int:
    return len([write for write in client.writes if write[0] == "patch"])


async def test_a_status_is_written_once(clock: FakeClock):
    client = FakeClient(clock)
    document = await made(client)
    async with writing(client, clock) as writer:
        for _ in range(3):
            writer.set(document, dict(RUNNING))
            await writer.flush(document.meta.uid)
    assert await phase(client) == "Running"
    assert patches(client) == 1


async def test_many_changes_before_a_write_become_one(clock: FakeClock):
    client = FakeClient(clock)
    document = await made(client)
    async with writing(client, clock) as writer:
        for number in range(50):
            writer.set(document, {"phase": f"P{number}", "conditions": []})
        await writer.flush(document.meta.uid)
    assert await phase(client) == "P49"
    assert patches(client) <= 2


async def test_a_write_is_tried_again_when_the_api_comes_back(clock: FakeClock):
    client = FakeClient(clock)
    document = await made(client)
    client.fail["patch"] = [Unavailable("away"), Unavailable("away")]
    async with writing(client, clock) as writer:
        writer.set(document, dict(RUNNING))
        await clock.advance(5)
        await writer.flush(document.meta.uid)
    assert await phase(client) == "Running"


async def test_a_namesake_is_left_alone(clock: FakeClock):
    client = FakeClient(clock)
    document = await made(client)
    await client.delete(pod_kind.KIND, "web", "default", grace_seconds=0)
    await client.create(pod_kind.KIND, body(uid="another"))
    async with writing(client, clock) as writer:
        writer.set(document, dict(RUNNING))
        await writer.flush(document.meta.uid)
    assert "status" not in (await client.get(pod_kind.KIND, "web", "default")).decode()


async def test_what_somebody_else_overwrote_is_put_right_but_not_at_once(clock: FakeClock):
    client = FakeClient(clock)
    document = await made(client)
    async with writing(client, clock) as writer:
        writer.set(document, dict(RUNNING))
        await writer.flush(document.meta.uid)
        changed = await client.patch(
            pod_kind.KIND, "web", {"status": {"phase": "Unknown"}}, "default", subresource="status"
        )
        writer.set(changed, dict(RUNNING))
        await clock.advance(1)
        assert await phase(client) == "Unknown"
        await clock.advance(10)
        writer.set(changed, dict(RUNNING))
        await writer.flush(document.meta.uid)
    assert await phase(client) == "Running"


async def test_a_generation_alone_waits_a_moment_so_that_it_goes_with_something_else(clock: FakeClock):
    client = FakeClient(clock)
    document = await made(client)
    async with writing(client, clock) as writer:
        writer.set(document, dict(RUNNING))
        await writer.flush(document.meta.uid)
        writer.set(document, {**RUNNING, "observedGeneration": 2})
        await clock.advance(0.5)
        assert patches(client) == 1
        await clock.advance(0.6)
        await writer.flush(document.meta.uid)
        assert patches(client) == 2
        writer.set(document, {**RUNNING, "observedGeneration": 3})
        writer.set(document, {"phase": "Failed", "conditions": [], "observedGeneration": 3})
        await writer.flush(document.meta.uid)
    assert patches(client) == 3
