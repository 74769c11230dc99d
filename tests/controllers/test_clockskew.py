"""Clocks that disagree: what is measured, when it is said, and that it is not said with every renewal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers.builders import NOW
from tests.controllers.world import World, world

from motet.base.clock import FakeClock
from motet.base.timestamps import format_micro_time
from motet.controllers.clockskew import CONDITION, Condition, Skews, judge
from motet.controllers.nodes import NodeHealth
from motet.kinds import event, lease, namespace, node


def heard(*readings: float) -> Skews:
    skews = Skews()
    for ahead in readings:
        skews.heard("n1", format_micro_time(NOW + timedelta(seconds=ahead)), NOW)
    return skews


@pytest.mark.parametrize(
    ("readings", "told"),
    [
        ((600, 600), None),
        ((600, 600, 600), 600),
        ((-600, -604, -640), -600),
        ((-0.1, -30, -12), 0),  # late on their way, twice
        ((3, 2, 4), 0),
        ((600, 0, 0, 0), 0),
        ((0, 0, 600), 600),
    ],
)
def test_the_renewal_that_was_least_late_tells_the_clock(readings: tuple[float, ...], told: float | None) -> None:
    found = heard(*readings).of("n1")
    assert found == (None if told is None else pytest.approx(told, abs=0.01))


def test_what_was_told_stands_while_it_is_about_right() -> None:
    skews = heard(600, 600, 600)
    assert skews.of("n1") == 600
    skews.heard("n1", format_micro_time(NOW + timedelta(seconds=630)), NOW)
    assert skews.of("n1") == 600
    skews.heard("n1", format_micro_time(NOW + timedelta(seconds=900)), NOW)
    assert skews.of("n1") == 900
    skews.forget("n1")
    assert skews.of("n1") is None


def test_it_is_said_as_a_condition_and_taken_back() -> None:
    ready = Condition("Ready", "True")
    assert judge((ready,), None, NOW) == judge((ready,), 0, NOW) == (ready,)
    (_, ahead) = judge((ready,), 600, NOW)
    assert (ahead.type, ahead.status, ahead.reason) == (CONDITION, "True", "ClockAhead")
    assert "10 minutes ahead of" in ahead.message
    (_, fine) = judge((ready, ahead), 0, NOW)
    assert (fine.status, fine.reason) == ("False", "ClockInStep")
    assert "45 s behind" in judge((ready,), -45, NOW)[1].message


@given(st.one_of(st.none(), st.floats(-90000, 90000)))
def test_law_a_second_look_changes_nothing(skew: float | None) -> None:
    once = judge((Condition("Ready", "True"),), skew, NOW)
    assert judge(once, skew, NOW + timedelta(seconds=9)) == once


async def test_a_node_whose_clock_is_ahead_is_ready_and_says_so(tmp_path: Path) -> None:
    clock = FakeClock()

    async def health(it: World) -> None:
        await NodeHealth(it.client, it.clock, it.events).run()

    async with world(tmp_path, health, clock=clock) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "kube-node-lease"}})
        await it.create(node.KIND, {"metadata": {"name": "n1"}})
        await it.status(node.KIND, "n1", {"conditions": [{"type": "Ready", "status": "True"}]})
        stamp = format_micro_time(clock.now())
        body = {"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {"renewTime": stamp}}
        await it.create(lease.KIND, body, "kube-node-lease")
        for _ in range(4):
            await clock.advance(10)
            stamp = format_micro_time(clock.now() + timedelta(minutes=10))
            await it.client.patch(lease.KIND, "n1", {"spec": {"renewTime": stamp}}, "kube-node-lease")
            await clock.advance(1)
        told = await it.until(lambda: conditions(it).get(CONDITION))
        assert (told["status"], told["reason"]) == ("True", "ClockAhead")
        assert conditions(it)["Ready"]["status"] == "True"
        await it.events.flush()
        assert [each["reason"] for each in it.all(event.KIND)] == ["ClockAhead"]


def conditions(it: World) -> dict[str, dict[str, str]]:
    found = it.get(node.KIND, "n1") or {}
    return {each["type"]: each for each in found["status"]["conditions"]}
