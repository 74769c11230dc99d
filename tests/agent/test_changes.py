"""Word of what the pods here use, and what is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from motet.agent.changes import Object, UsedChanges
from motet.base.clock import FakeClock
from motet.base.errors import NotFound, Unavailable
from motet.pods.spec import Volume


class Manager:
    """Says what it is told to, in pieces."""

    def __init__(self, *turns: list[bytes] | Exception) -> None:
        self.turns = list(turns)
        self.asked = 0

    async def stream(self, path: str, *, silence: float | None = None) -> AsyncIterator[bytes]:
        assert path == "/motet/v1/changes"
        self.asked += 1
        turn = self.turns.pop(0) if self.turns else []
        if isinstance(turn, Exception):
            raise turn
        for piece in turn:
            yield piece


async def heard(manager: Manager, *, seconds: float) -> list[Object]:
    found: list[Object] = []
    clock = FakeClock()
    task = asyncio.create_task(UsedChanges(manager, clock, found.append).run())
    for _ in range(int(seconds)):
        await clock.advance(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found


async def test_lines_are_read_however_they_are_cut() -> None:
    line = b'{"changed":[["configmaps","a","m"],["secrets","a","s"]]}\n'
    found = await heard(Manager([b'{"changed":[]}\n' + line[:20], line[20:50], line[50:]]), seconds=1)
    assert found == [("configmaps", "a", "m"), ("secrets", "a", "s")]


async def test_it_listens_again_after_whatever_went_wrong() -> None:
    line = b'{"changed":[["configmaps","a","m"]]}\n'
    manager = Manager(Unavailable("away"), [b"nonsense\n"], [line], [line])
    assert len(await heard(manager, seconds=40)) == 2


async def test_a_manager_that_knows_nothing_of_it_is_seldom_asked() -> None:
    manager = Manager(NotFound("no such path"))
    await heard(manager, seconds=290)
    assert manager.asked == 1


@pytest.mark.parametrize(
    ("volume", "kind", "name", "shows"),
    [
        ({"configMap": {"name": "m"}}, "configmaps", "m", True),
        ({"configMap": {"name": "m"}}, "secrets", "m", False),
        ({"configMap": {"name": "m"}}, "configmaps", "other", False),
        ({"secret": {"secretName": "s"}}, "secrets", "s", True),
        ({"projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "m"}}]}}, "secrets", "s", True),
        ({"projected": {"sources": [{"configMap": {"name": "m"}}]}}, "configmaps", "m", True),
        ({"emptyDir": {}}, "configmaps", "", False),
    ],
)
def test_a_volume_knows_what_it_shows(volume: dict[str, Any], kind: str, name: str, shows: bool) -> None:
    assert msgspec.convert({"name": "v", **volume}, Volume).shows(kind, name) is shows
