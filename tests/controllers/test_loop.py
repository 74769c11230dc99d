"""The control loop's promises: each key once at a time, nothing lost, back-off per key, pacing, clean stop."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.controllers import builders

from motet.base.clock import FakeClock
from motet.base.errors import NAMESPACE_TERMINATING, Conflict, Forbidden
from motet.controllers.loop import Controller
from motet.store.document import Document
from motet.store.table import Table


@asynccontextmanager
async def running(controller: Controller[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(controller.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def recording(runs: list[str], answer: Callable[[str], float | None] = lambda key: None):
    async def reconcile(key: str) -> float | None:
        runs.append(key)
        return answer(key)

    return reconcile


async def test_a_key_enqueued_twice_runs_once() -> None:
    runs: list[str] = []
    controller = Controller("t", recording(runs), clock=FakeClock())
    controller.enqueue("a")
    controller.enqueue("a")
    async with running(controller):
        await settle()
    assert runs == ["a"]


async def test_a_key_that_changes_while_it_runs_runs_once_more() -> None:
    runs: list[str] = []
    gate = asyncio.Event()

    async def reconcile(key: str) -> None:
        runs.append(key)
        await gate.wait()

    controller = Controller("t", reconcile, clock=FakeClock())
    async with running(controller):
        controller.enqueue("a")
        await settle()
        controller.enqueue("a")
        controller.enqueue("a")
        await settle()
        assert runs == ["a"]
        gate.set()
        await settle()
        assert runs == ["a", "a"]


async def test_no_more_keys_run_at_a_time_than_allowed() -> None:
    now = most = 0
    gate = asyncio.Event()

    async def reconcile(key: str) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await gate.wait()
        now -= 1

    controller = Controller("t", reconcile, clock=FakeClock(), parallelism=3)
    async with running(controller):
        for key in "abcdefgh":
            controller.enqueue(key)
        await settle()
        gate.set()
        await settle()
        assert controller.idle()
    assert most == 3


async def test_a_failing_key_is_retried_later_and_later_while_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    clock = FakeClock()
    times: list[float] = []
    others: list[str] = []

    async def reconcile(key: str) -> None:
        if key == "bad":
            times.append(clock.monotonic())
            raise RuntimeError("no")
        others.append(key)

    controller = Controller("t", reconcile, clock=clock)
    async with running(controller):
        controller.enqueue("bad")
        await clock.advance(1.0)
        controller.enqueue("good")
        await clock.advance(400.0)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert others == ["good"]
    assert 0.003 < gaps[0] < 0.007
    assert 45 < gaps[-1] <= 72
    assert all(after > before * 1.3 for before, after in itertools.pairwise(gaps[:8]))


async def test_success_forgets_earlier_failures(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    clock = FakeClock()
    failing = True
    runs: list[float] = []

    async def reconcile(key: str) -> None:
        runs.append(clock.monotonic())
        if failing:
            raise RuntimeError("no")

    controller = Controller("t", reconcile, clock=clock)
    async with running(controller):
        controller.enqueue("a")
        await clock.advance(10)
        failing = False
        await clock.advance(30)
        failing = True
        runs.clear()
        controller.enqueue("a")
        await clock.advance(0.01)
    assert len(runs) == 2


async def test_a_conflict_is_no_error_worth_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    runs: list[str] = []

    async def reconcile(key: str) -> None:
        runs.append(key)
        if len(runs) == 1:
            raise Conflict("changed")

    controller = Controller("t", reconcile, clock=clock)
    async with running(controller):
        controller.enqueue("a")
        await clock.advance(0.1)
    assert runs == ["a", "a"]
    assert not caplog.records


async def test_a_key_whose_namespace_is_being_deleted_is_left_alone_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    runs: list[str] = []

    async def reconcile(key: str) -> None:
        runs.append(key)
        raise Forbidden("no", details={"causes": [{"reason": NAMESPACE_TERMINATING}]})

    controller = Controller("t", reconcile, clock=clock)
    async with running(controller):
        controller.enqueue("a")
        await clock.advance(4)
        assert runs == ["a"]
        await clock.advance(30)
        assert 2 <= len(runs) <= 8
    assert not caplog.records


async def test_a_key_comes_back_when_it_asked_to() -> None:
    clock = FakeClock()
    runs: list[str] = []
    controller = Controller("t", recording(runs, lambda key: 5.0 if len(runs) < 3 else None), clock=clock)
    async with running(controller):
        controller.enqueue("a")
        await clock.advance(4.9)
        assert len(runs) == 1
        await clock.advance(0.2)
        assert len(runs) == 2
        await clock.advance(100)
        assert len(runs) == 3


async def test_an_earlier_run_replaces_the_timer_of_the_one_before() -> None:
    clock = FakeClock()
    runs: list[float] = []

    async def reconcile(key: str) -> float | None:
        runs.append(clock.monotonic())
        return 10.0 if len(runs) < 3 else None

    controller = Controller("t", reconcile, clock=clock)
    async with running(controller):
        controller.enqueue("a")
        await clock.advance(6)
        controller.enqueue("a")
        await clock.advance(60)
    assert runs == [0, 6, 16]


async def test_a_sooner_timer_rings_before_a_later_one_set_first() -> None:
    clock = FakeClock()
    runs: list[str] = []
    controller = Controller("t", recording(runs), clock=clock)
    async with running(controller):
        controller.enqueue("late", after=10)
        controller.enqueue("soon", after=1)
        await clock.advance(2)
        assert runs == ["soon"]
        await clock.advance(10)
        assert runs == ["soon", "late"]


async def test_pace_runs_the_first_change_at_once_and_a_storm_at_the_pace() -> None:
    clock = FakeClock()
    runs: list[float] = []

    async def reconcile(key: str) -> None:
        runs.append(clock.monotonic())

    controller = Controller("t", reconcile, clock=clock, pace=0.1)
    async with running(controller):
        for _ in range(100):
            controller.enqueue("a")
            await clock.advance(0.01)
        await clock.advance(1)
        assert 9 <= len(runs) <= 12
        assert runs[0] == 0
        count = len(runs)
        controller.enqueue("a")
        await settle()
        assert len(runs) == count + 1


async def test_cancelling_stops_the_running_keys_too() -> None:
    cancelled = asyncio.Event()

    async def reconcile(key: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    controller = Controller("t", reconcile, clock=FakeClock())
    async with running(controller):
        controller.enqueue("a")
        await settle()
    assert cancelled.is_set()


async def test_a_key_cancelled_in_mid_run_sets_no_timer() -> None:
    clock = FakeClock()

    async def reconcile(key: str) -> None:
        await asyncio.get_running_loop().create_future()

    controller = Controller("t", reconcile, clock=clock, pace=0.1)
    async with running(controller):
        controller.enqueue("a")
        await settle()
    assert not clock._sleepers


def table(*names: str) -> Table:
    found = Table("core/configmaps")
    for name in names:
        put(found, name)
    return found


def put(table: Table, name: str) -> None:
    document = builders.document("core/configmaps", {"metadata": {"name": name, "namespace": "default"}})
    table.apply(document.key, document, table.revision + 1)


def by_name(old: Document | None, new: Document | None) -> list[str]:
    document = new or old
    return [document.name] if document else []


async def test_everything_there_is_reconciled_at_the_start_and_every_change_after() -> None:
    runs: list[str] = []
    controller = Controller("t", recording(runs), clock=FakeClock())
    source = table("a", "b")
    controller.watch(source, by_name)
    async with running(controller):
        await settle()
        assert runs == ["a", "b"]
        put(source, "c")
        await settle()
        assert runs == ["a", "b", "c"]
    put(source, "d")
    await settle()
    assert "d" not in runs


async def test_a_document_nobody_can_read_stops_neither_writers_nor_other_keys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: list[str] = []

    def picky(old: Document | None, new: Document | None) -> list[str]:
        if new is not None and new.name == "odd":
            raise ValueError("what is this?")
        return by_name(old, new)

    controller = Controller("t", recording(runs), clock=FakeClock())
    source = table("odd", "a")
    controller.watch(source, picky)
    async with running(controller):
        put(source, "odd")
        put(source, "b")
        await settle()
    assert runs == ["a", "b"]
    assert "cannot tell" in caplog.text
