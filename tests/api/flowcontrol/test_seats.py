"""Seats of levels: whose turn it is, what is lent, and what is refused."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from motet.api.flowcontrol.seats import Level, Limits, Line, Room
from motet.base.clock import FakeClock

LOUD, QUIET = (1,), (2,)
# As if the loop came round so seldom that only seats count.
ENDLESS = Limits(seats=10, round=1e6, exempt_round=1e6)


def level(name: str = "l", **facts: object) -> Level:
    return Level(**{"name": name, "shares": 10, "queues": 8, **facts})  # type: ignore[arg-type]


def room(*levels: Level, limits: Limits = ENDLESS) -> Room:
    made = Room(FakeClock(), limits)
    made.share_out(levels)
    return made


def one_seat(**facts: object) -> Line:
    return room(level(**facts), limits=Limits(seats=1, round=1e6)).lines["l"]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def gone(tasks: list[asyncio.Task[int]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_quiet_queue_waits_for_one_turn_of_a_loud_one_and_not_for_all_of_it() -> None:
    line = one_seat()
    order: list[tuple[int, ...]] = []

    async def ask(hand: tuple[int, ...]) -> int:
        taken = await line.sit(hand, 1)
        order.append(hand)
        return taken

    tasks = [asyncio.create_task(ask(LOUD)) for _ in range(10)]
    await settle()
    tasks.append(asyncio.create_task(ask(QUIET)))
    await settle()
    for _ in range(3):
        line.stand_up(1)
        await settle()
    assert QUIET in order[:3]
    await gone(tasks)


async def test_a_flow_waits_in_the_shortest_queue_of_its_hand() -> None:
    line = one_seat(length=2)
    assert await line.sit(LOUD, 1)
    tasks = [asyncio.create_task(line.sit((1, 2), 1)) for _ in range(5)]
    await settle()
    assert line.waiting == 4
    assert [task.result() for task in tasks if task.done()] == [0]
    await gone(tasks)


async def test_a_level_without_queues_refuses_whoever_finds_no_seat() -> None:
    line = one_seat(queues=0, length=0)
    assert await line.sit((), 1) == 1
    assert await line.sit((), 1) == 0


async def test_who_waits_too_long_is_refused() -> None:
    line = one_seat()
    assert await line.sit(LOUD, 1)
    waiting = asyncio.create_task(line.sit(QUIET, 1))
    await settle()
    clock = line._room_of_all.clock
    assert isinstance(clock, FakeClock)
    await clock.advance(16.5)
    assert await waiting == 0


async def test_an_exempt_level_is_never_full_and_takes_nobodys_seats() -> None:
    found = room(level("e", exempt=True, shares=0), level("l"))
    for _ in range(50):
        assert await found.lines["e"].sit(LOUD, 1) == 1
    for _ in range(10):
        assert await found.lines["l"].sit(LOUD, 1) == 1


async def test_wide_requests_of_an_exempt_level_wait_and_keep_nobody_waiting() -> None:
    line = room(level("e", exempt=True, shares=0), limits=Limits(round=1e6, exempt_round=1e6, exempt_wide=10)).lines[
        "e"
    ]
    assert await line.sit(LOUD, 50) == 10
    wide = asyncio.create_task(line.sit(LOUD, 4))
    await settle()
    assert not wide.done()
    for hand in (LOUD, QUIET):
        assert await asyncio.wait_for(line.sit(hand, 1), 1) == 1
    line.stand_up(10)
    assert await wide == 4


async def test_seats_that_nobody_needs_are_lent_and_come_back() -> None:
    found = room(level("busy", queues=0, length=0), level("idle", lendable=60))
    busy, idle = found.lines["busy"], found.lines["idle"]
    assert (busy.nominal, idle.kept) == (5, 2)
    got = [await busy.sit((), 1) for _ in range(10)]
    assert sum(got) == 8
    assert [await idle.sit(QUIET, 1) for _ in range(2)] == [1, 1]  # those it never lends
    third = asyncio.create_task(idle.sit(QUIET, 1))
    await settle()
    assert not third.done()
    busy.stand_up(1)
    assert await third == 1
    assert await busy.sit((), 1) == 0


async def test_a_level_borrows_no_more_than_its_limit() -> None:
    found = room(level("busy", queues=0, length=0, borrowing=20), level("idle", lendable=100))
    assert sum([await found.lines["busy"].sit((), 1) for _ in range(10)]) == 6


async def test_a_level_without_shares_that_may_not_borrow_lets_nobody_in() -> None:
    found = room(level("jail", shares=0, queues=0, length=0, borrowing=0), level("idle", lendable=100))
    assert await found.lines["jail"].sit((), 1) == 0


async def test_a_crowd_is_worked_off_in_rounds_between_which_others_come_in() -> None:
    line = room(level(), limits=Limits(seats=100, round=0.001)).lines["l"]
    order: list[str] = []

    async def work(number: int) -> None:
        assert await line.sit((number % 3,), 1)
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


async def test_two_crowds_get_on_by_their_shares() -> None:
    found = room(level("big", shares=80), level("small", shares=20), limits=Limits(seats=1000, round=0.01))
    order: list[str] = []

    async def work(name: str, number: int) -> None:
        line = found.lines[name]
        assert await line.sit((number % 5,), 1)
        began = time.perf_counter()
        while time.perf_counter() - began < 0.0002:
            pass
        order.append(name)
        line.stand_up(1)

    await asyncio.gather(*(work(name, number) for number in range(200) for name in ("big", "small")))
    assert 0.6 < order[:200].count("big") / 200 < 0.95


async def test_whoever_waits_in_a_level_that_goes_is_let_in_all_the_same() -> None:
    found = room(level("a"), level("b"))
    line = found.lines["a"]
    assert [await line.sit(LOUD, 1) for _ in range(5)] == [1] * 5
    waiting = asyncio.create_task(line.sit(LOUD, 1))
    await settle()
    found.share_out([level("b")])
    line.stand_up(1)
    assert await waiting == 1
    assert found.lines["b"].nominal == 10


async def test_a_client_that_leaves_takes_nobodys_seat() -> None:
    line = one_seat()
    assert await line.sit(LOUD, 1)
    leaving = asyncio.create_task(line.sit(LOUD, 1))
    await settle()
    await gone([leaving])
    line.stand_up(1)
    assert (line.taken, line.waiting) == (0, 0)


CROWD = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(1, 4), st.booleans()), min_size=1, max_size=30
)


@given(CROWD)
async def test_no_more_sit_than_there_are_seats_and_all_get_up_again(
    crowd: list[tuple[str, int, int, bool]],
) -> None:
    found = room(level("a", lendable=50, length=100), level("b", length=100), limits=Limits(seats=6, round=0.001))
    most = 0

    async def one(name: str, queue: int, width: int) -> None:
        nonlocal most
        line = found.lines[name]
        taken = await line.sit((queue,), width)
        try:
            most = max(most, sum(each.taken for each in found.lines.values()))
            await asyncio.sleep(0)
        finally:
            line.stand_up(taken)

    tasks = [(asyncio.create_task(one(*each[:3])), each[3]) for each in crowd]
    await asyncio.sleep(0)
    for task, leaves in tasks:
        if leaves:
            task.cancel()
    for _ in range(300):
        await asyncio.sleep(0)
    lines = found.lines.values()
    for line in lines:
        if line._looking is not None:
            line._looking.cancel()
    stuck = [task for task, _ in tasks if not task.done()]
    assert (stuck, [line.waiting for line in lines], [line.taken for line in lines]) == ([], [0, 0], [0, 0])
    assert most <= 6
