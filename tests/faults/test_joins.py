"""A thousand joins with bad tokens, against a real manager with real work to do."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from tests.faults.bed import NODES, Bed, until

from motet.identity import requests
from motet.kinds import node
from motet.machine import lifecycle

_JOINS = 1000


def server_of(bed: Bed) -> int:
    daemon = lifecycle.running(bed.box("n1").machine)
    children = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
    return next(int(pid) for pid in children if b"\0server\0" in Path(f"/proc/{pid}/cmdline").read_bytes())


def held(pid: int) -> tuple[int, int]:
    """Open files (sockets too), and memory in MiB, of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), rss // 1024


class _Connector(aiohttp.TCPConnector):
    """Each request on a connection of its own, all of which have to be closed before the loop ends."""

    def __init__(self) -> None:
        super().__init__(ssl=False, force_close=True, limit=0)
        self._sockets: list[Any] = []

    async def connect(self, *words: Any, **named: Any) -> Any:
        connection = await super().connect(*words, **named)
        self._sockets.append(connection.transport.get_extra_info("socket"))
        return connection

    async def emptied(self) -> None:
        while any(each.fileno() >= 0 for each in self._sockets):
            await asyncio.sleep(0.01)


async def join(server: str, count: int) -> Counter[int]:
    """So many tries, fifty at a time, each on a connection of its own; the codes they were answered with."""
    codes: Counter[int] = Counter()
    asked = {"node": "n9", "address": "192.0.2.9", "request": requests.make().request.decode()}
    turns = asyncio.Semaphore(50)

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        async with (
            turns,
            session.post(f"{server}/motet/v1/join", json={**asked, "secret": f"wrong-{number}"}) as answer,
        ):
            codes[answer.status] += 1
            assert "wrong-" not in await answer.text()

    connector = _Connector()
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(one(session, number) for number in range(count)))
        async with asyncio.timeout(30):
            await connector.emptied()
    return codes


def test_a_thousand_joins_with_bad_tokens_are_refused_slowed_down_logged_and_leave_nothing(bed: Bed) -> None:
    machine = bed.box("n1").machine
    log = machine.logs / "server.log"
    server = server_of(bed)
    files = Counter(path.name for path in machine.server_dir.rglob("*"))
    length, (handles, memory) = log.stat().st_size, held(server)
    with bed.load(each=1) as load:
        began = time.monotonic()
        codes = asyncio.run(join(bed.testbed.url(bed.testbed.plan), _JOINS))
        took = time.monotonic() - began
        assert [each["metadata"]["name"] for each in bed.request("GET", node.KIND.path())["items"]] == list(NODES)
        until(lambda: load.served(began) > 60, 20)
    said = log.read_text()[length:]
    print(f"{dict(codes)} in {took:.1f} s; {load.answers} requests served meanwhile, {len(load.failures)} failed")
    assert codes.keys() == {401, 429}
    assert sum(codes.values()) == _JOINS
    assert codes[401] <= 10 + took / 6 + 1, "ten at once from one address, and then one in six seconds"
    assert said.count("join refused") == codes[401]
    assert "wrong-" not in said
    assert load.failures == []
    until(lambda: held(server)[0] <= handles + 5, 30, "connections are left open")
    assert held(server)[1] - memory < 24
    assert Counter(path.name for path in machine.server_dir.rglob("*")) == files
