"""What a node goes on with when it begins while the server is away."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from motet.base.clock import FakeClock
from motet.base.errors import Unavailable
from motet.client.memory import Memory
from motet.client.mirror import Page, WatchLine, _ListMeta
from motet.client.remote import RemoteClient
from motet.kinds import pod, service
from motet.kinds.kind import Kind


class Client(RemoteClient):
    """Has two services to tell of, or nothing when it is `away`."""

    def __init__(self, clock: FakeClock, memory: Memory, *, away: bool = False) -> None:
        super().__init__("https://192.0.2.1", ssl.create_default_context(), clock=clock, memory=memory)
        self.away, self.names = away, ["a", "b"]

    async def pages(self, kind: Kind, namespace: str, query: dict[str, str]) -> AsyncIterator[Page]:
        if self.away:
            raise Unavailable("away")
        items = [{"metadata": {"name": name, "namespace": "default", "resourceVersion": "7"}} for name in self.names]
        yield Page(_ListMeta(resource_version="9"), [msgspec.Raw(msgspec.json.encode(item)) for item in items])

    async def lines(self, kind: Kind, namespace: str, query: dict[str, str]) -> AsyncIterator[WatchLine]:
        await asyncio.Event().wait()
        yield  # a generator by this alone


async def names(client: Client) -> list[str]:
    async with asyncio.timeout(5):
        return [document.name for document in (await client.remembered(service.KIND)).table]


async def written(path: Path, clock: FakeClock) -> None:
    """Let time pass until a file is there; it is written in a thread."""
    async with asyncio.timeout(5):
        while not path.exists():
            await clock.advance(2)
            await asyncio.sleep(0.01)


async def test_a_table_is_had_without_a_server_as_it_was_last_and_put_right_when_that_is_back(tmp_path: Path) -> None:
    clock, memory = FakeClock(), Memory(tmp_path / "known")
    before = Client(clock, memory)
    assert await names(before) == ["a", "b"]
    await written(tmp_path / "known/core.services.json", clock)
    await before.close()
    after = Client(clock, memory, away=True)
    known = await after.remembered(service.KIND)
    confirmed = asyncio.create_task(known.confirmed())
    await clock.advance(1)
    assert [document.name for document in known.table] == ["a", "b"]
    assert not confirmed.done()
    after.away, after.names = False, ["b", "c"]
    await clock.advance(30)
    assert [document.name for document in known.table] == ["b", "c"]
    assert confirmed.done()
    await after.close()


async def test_what_changes_the_kernel_waits_for_the_server_whatever_was_kept(tmp_path: Path) -> None:
    clock, memory = FakeClock(), Memory(tmp_path / "known")
    memory.keep(service.KIND.resource, [b'{"metadata":{"name":"old","namespace":"default","resourceVersion":"3"}}'])
    client = Client(clock, memory, away=True)
    table = asyncio.create_task(client.table(service.KIND))
    await clock.advance(30)
    assert not table.done()
    client.away = False
    await clock.advance(30)
    assert [document.name for document in await table] == ["a", "b"]
    await client.close()


async def test_only_what_was_asked_to_be_remembered_is_written_down(tmp_path: Path) -> None:
    clock, memory = FakeClock(), Memory(tmp_path / "known")
    client = Client(clock, memory)
    await client.table(pod.KIND)
    await clock.advance(60)
    assert not list(tmp_path.rglob("*.json"))
    await client.close()


def test_a_file_that_cannot_be_read_is_no_memory(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    assert memory.recall("core/services") is None
    (tmp_path / "core.services.json").write_text('[{"a":')
    assert memory.recall("core/services") is None
    memory.keep("core/services", [b'{"a":1}', b"{}"])
    assert memory.recall("core/services") == [b'{"a":1}', b"{}"]


def test_a_full_disk_is_told_and_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Memory(tmp_path / "file").keep("core/services", [])
