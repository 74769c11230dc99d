"""How a table of a remote server is kept, and how a thousand of them come back to one that was away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from motet.base.clock import FakeClock
from motet.base.errors import Expired, Forbidden, NotFound, Unavailable
from motet.client.mirror import Mirror, Page, WatchLine, _ListMeta
from motet.kinds import service
from motet.kinds.kind import Kind


class Server:
    """Counts who comes, by the second. `away` answers nobody; `hasty` ends every watch at once, `forgetful` with 410."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.away, self.hasty, self.forgetful = clock, False, False, False
        self.refuses: Exception | None = None
        self.calls: Counter[int] = Counter()
        self.lists = 0
        self.watching: set[asyncio.Event] = set()

    def _called(self) -> None:
        self.calls[int(self.clock.monotonic())] += 1
        if self.away:
            raise Unavailable("away")
        if self.refuses is not None:
            raise self.refuses

    async def pages(self, kind: Kind, namespace: str, query: dict[str, str]) -> AsyncIterator[Page]:
        self._called()
        self.lists += 1
        yield Page(_ListMeta(resource_version="5"))

    async def lines(self, kind: Kind, namespace: str, query: dict[str, str]) -> AsyncIterator[WatchLine]:
        self._called()
        if self.forgetful:
            raise Expired("gone")
        if self.hasty:
            return
        ended = asyncio.Event()
        self.watching.add(ended)
        try:
            await ended.wait()
        finally:
            self.watching.discard(ended)
        raise Unavailable("the connection was cut")
        yield  # a generator by this alone

    def go(self) -> None:
        self.away = True
        for ended in self.watching:
            ended.set()


async def run(server: Server, mirrors: int) -> list[asyncio.Task[None]]:
    made = [Mirror(server, service.KIND, "", {}, server.clock) for _ in range(mirrors)]
    tasks = [asyncio.create_task(each.run()) for each in made]
    await server.clock.advance(1)
    return tasks


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_thousand_that_lost_the_server_for_two_minutes_come_back_one_by_one():
    server = Server(FakeClock())
    tasks = await run(server, 1000)
    assert len(server.watching) == 1000
    server.go()
    await server.clock.advance(120)
    asked = [server.calls[second] for second in range(60, 120)]
    assert max(asked) < 120, "who finds nobody asks seldom"
    server.away, back = False, 121
    await server.clock.advance(25)
    assert len(server.watching) == 1000, "and still everybody is back within 25 seconds"
    assert server.lists == 1000, "and goes on from where it was"
    returned = [server.calls[second] for second in range(back, back + 25)]
    assert max(returned) < 120
    await stop(tasks)


async def test_a_server_that_ends_every_watch_at_once_is_not_run_down():
    server = Server(FakeClock())
    server.hasty = True
    tasks = await run(server, 1)
    await server.clock.advance(60)
    assert sum(server.calls.values()) < 20
    await stop(tasks)


async def test_a_server_that_forgot_the_revision_is_listed_again_but_not_in_a_circle():
    server = Server(FakeClock())
    server.forgetful = True
    tasks = await run(server, 1)
    await server.clock.advance(60)
    assert 1 < server.lists < 20
    server.forgetful = False
    await server.clock.advance(23)
    assert len(server.watching) == 1
    await stop(tasks)


@pytest.mark.parametrize("refusal", [NotFound("no such resource"), Forbidden("not for nodes")], ids=str)
async def test_an_older_server_that_knows_nothing_of_a_kind_has_none_of_it(refusal: Exception):
    server = Server(FakeClock())
    server.refuses = refusal
    whole, one = (Mirror(server, service.KIND, "", query, server.clock) for query in ({}, {"fieldSelector": "a=b"}))
    tasks = [asyncio.create_task(each.run()) for each in (whole, one)]
    await server.clock.advance(1)
    assert whole._synced.is_set()
    assert not one._synced.is_set(), "what a pod names may be there in a moment"
    server.refuses = None
    await server.clock.advance(30)
    assert len(server.watching) == 2, "and when the server is upgraded, it is had"
    await stop(tasks)
