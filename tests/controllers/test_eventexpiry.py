"""Events that nobody tells of any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.controllers.builders import NOW, ago, document
from tests.controllers.world import World, world

from motet.base import timestamps
from motet.base.clock import FakeClock
from motet.controllers.eventexpiry import EventExpiry, is_old
from motet.kinds import event

HOUR = 3600


def body(name: str = "web.1", **fields: Any) -> dict[str, Any]:
    about = {"kind": "Pod", "name": "web", "namespace": "default"}
    return {"metadata": {"name": name, "namespace": "default"}, "involvedObject": about, "reason": "Started", **fields}


def made(seconds_ago: float, **fields: Any) -> bool:
    found = body(**fields)
    found["metadata"]["creationTimestamp"] = ago(seconds_ago)
    return is_old(document("core/events", found), NOW)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"firstTimestamp": ago(2 * HOUR), "lastTimestamp": ago(HOUR + 1)},
        {"eventTime": ago(2 * HOUR), "series": {"count": 3, "lastObservedTime": ago(HOUR + 1)}},
        {"eventTime": None, "series": None, "lastTimestamp": None},
        {"lastTimestamp": ago(-5)},
    ],
)
def test_an_hour_after_it_was_last_told_an_event_is_old(told: dict[str, Any]) -> None:
    assert made(2 * HOUR, **told)


@pytest.mark.parametrize(
    "told",
    [
        {"lastTimestamp": ago(HOUR - 1)},
        {"eventTime": ago(2 * HOUR), "series": {"count": 3, "lastObservedTime": "2026-01-01T11:30:00.123456Z"}},
        {"eventTime": "2026-01-01T12:30:00.5+01:00"},
    ],
)
def test_one_that_is_told_again_stays(told: dict[str, Any]) -> None:
    assert not made(2 * HOUR, **told)


def test_a_new_one_stays_whatever_its_times_say() -> None:
    assert not made(HOUR - 1, lastTimestamp=ago(5 * HOUR))


async def expiry(it: World) -> None:
    await EventExpiry(it.client, it.clock).run()


async def test_old_ones_go_and_those_told_again_an_hour_later(tmp_path: Path) -> None:
    clock = FakeClock()

    async def names() -> list[str]:
        await clock.advance(60)
        return sorted(each["metadata"]["name"] for each in it.all(event.KIND))

    async with world(tmp_path, expiry, clock=clock) as it:
        for number in range(70):
            await it.create(event.KIND, body(f"once.{number}"))
        await it.create(event.KIND, body("again"))
        await clock.advance(HOUR / 2)
        again = {"lastTimestamp": timestamps.format_time(clock.now()), "count": 2}
        await it.client.patch(event.KIND, "again", again, "default")
        assert len(await names()) == 71
        await clock.advance(HOUR / 2)
        await it.until(lambda: len(it.all(event.KIND)) == 1)
        assert await names() == ["again"]
        await clock.advance(HOUR / 2)
        await it.until(lambda: not it.all(event.KIND))
