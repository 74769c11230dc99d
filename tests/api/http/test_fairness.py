"""Whose turn it is."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.http.conftest import Api

from motet.api.http.fairness import LEADERS, NODES, OTHERS, Config, Level, Line, Seats
from motet.base.clock import FakeClock
from motet.base.errors import TooManyRequests

LOUD, QUIET = ("loud", "192.0.2.1"), ("quiet", "192.0.2.2")


def seats(clock: FakeClock, **levels: Level) -> Seats:
    return Seats(clock, Config(levels={NODES: Level(2), LEADERS: Level(1), OTHERS: Level(2, waiting=3), **levels}))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_quiet_caller_waits_for_one_turn_of_a_loud_one_and_not_for_all_of_them() -> None:
    clock = FakeClock()
    line = Line(Level(1, waiting=50), clock)
    order: list[str] = []

    async def ask(flow: tuple[str, str]) -> None:
        assert await line.sit(flow, 1)
        order.append(flow[0])

    tasks = [asyncio.create_task(ask(LOUD)) for _ in range(10)]
    await settle()
    tasks.append(asyncio.create_task(ask(QUIET)))
    await settle()
    for _ in range(3):
        line.stand_up(1)
        await settle()
    assert "quiet" in order[:3]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_has_too_much_waiting_is_told_to_come_back_after_a_pause() -> None:
    clock = FakeClock()
    found = seats(clock)
    tasks = [asyncio.create_task(found.take(OTHERS, LOUD)) for _ in range(7)]
    await settle()
    assert sum(task.done() for task in tasks) == 2
    await clock.advance(0.6)
    refused = [task.exception() for task in tasks if task.done() and task.exception() is not None]
    assert len(refused) == 2
    assert isinstance(refused[0], TooManyRequests)
    assert refused[0].details["retryAfterSeconds"] == 1
    assert found.refused[OTHERS] == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_waits_too_long_is_told_to_come_back() -> None:
    clock = FakeClock()
    found = seats(clock, **{OTHERS: Level(1, seconds=5)})
    await found.take(OTHERS, LOUD)
    waiting = asyncio.create_task(found.take(OTHERS, QUIET))
    await settle()
    await clock.advance(6.6)
    with pytest.raises(TooManyRequests):
        await waiting
    found.give_back(OTHERS)
    await found.take(OTHERS, QUIET)


async def test_a_crowd_is_worked_off_in_rounds_between_which_others_come_in() -> None:
    line = Line(Level(100, budget=0.001), FakeClock())
    order: list[str] = []

    async def work(number: int) -> None:
        assert await line.sit((f"u{number % 3}", ""), 1)
        began = time.perf_counter()
        while time.perf_counter() - began < 0.0005:
            pass
        order.append("crowd")
        line.stand_up(1)

    async def node() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            order.append("node")

    for number in range(10):  # what a request costs is not known at first
        await work(number)
    order.clear()
    await asyncio.gather(*(work(number) for number in range(100)), node())
    assert (order.count("crowd"), line.taken) == (100, 0)
    assert "node" in order[:50]


async def test_levels_do_not_know_each_other() -> None:
    found = seats(FakeClock())
    for _ in range(2):
        await found.take(OTHERS, LOUD)
    await found.take(NODES, ("system:node:n1", ""))
    await found.take(LEADERS, QUIET)


async def test_a_client_that_leaves_takes_nobodys_seat() -> None:
    line = Line(Level(1), FakeClock())
    assert await line.sit(LOUD, 1)
    leaving = asyncio.create_task(line.sit(LOUD, 1))
    await settle()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    line.stand_up(1)
    assert (line.taken, line.waiting) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.sampled_from(["stay", "leave"])), max_size=30))
async def test_no_more_sit_than_there_are_seats_and_all_get_up_again(crowd: list[tuple[str, int, str]]) -> None:
    line = Line(Level(3, waiting=100), FakeClock())
    most = 0

    async def one(name: str, width: int, how: str) -> None:
        nonlocal most
        assert await line.sit((name, ""), width)
        try:
            most = max(most, line.taken)
            await asyncio.sleep(0)
        finally:
            line.stand_up(width)

    tasks = [(asyncio.create_task(one(*each)), each[2]) for each in crowd]
    await asyncio.sleep(0)
    for task, how in tasks:
        if how == "leave":
            task.cancel()
    for _ in range(200):
        await asyncio.sleep(0)
    if line._looking is not None:
        line._looking.cancel()
    stuck = [task for task, how in tasks if not task.done()]
    assert (stuck, line.waiting, line.taken) == ([], 0, 0)
    assert most <= 3


async def test_a_flood_of_one_client_keeps_no_node_from_its_lease(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The noisy client has more requests under way than there are seats and room in line; they all hang."""
    held = asyncio.Event()
    real = type(api.registry).get
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

    async def slow(self, kind, *arguments, **options):  # type: ignore[no-untyped-def]
        if kind.plural == "configmaps":
            await held.wait()
        return await real(self, kind, *arguments, **options)

    monkeypatch.setattr(type(api.registry), "get", slow)
    async with api.session() as session:

        async def noise() -> int:
            async with session.get("/api/v1/namespaces/default/configmaps/none") as answer:
                return answer.status

        session.connector._limit = 0  # type: ignore[union-attr]
        flood = [asyncio.create_task(noise()) for _ in range(200)]
        seats = api.server.seats
        while seats.lines[OTHERS].waiting < 100 or seats.refused[OTHERS] < 52:
            await asyncio.sleep(0.01)
        lease = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}}
        assert (await api.ask("POST", path, lease, who="node"))[0] == 201
        assert (await api.ask("PUT", f"{path}/n1", lease, who="node"))[0] == 200
        assert (await api.ask("GET", f"{path}/n1"))[0] == 200  # leases of others have seats of their own, too
        held.set()
        codes = await asyncio.gather(*flood)
    assert sorted(set(codes)) == [404, 429]
    assert codes.count(429) == 52
