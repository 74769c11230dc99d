"""CronJobs on a real kernel, with a clock that moves when it is told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, world

from motet.base.clock import FakeClock
from motet.controllers.cronjob import CronJobs
from motet.kinds import cronjob, event, job

KIND = cronjob.KIND


async def cronjobs(world: World) -> None:
    await CronJobs(world.client, world.clock, world.events).run()


def tick(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    job_template = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": template}}
    return {"metadata": {"name": "tick"}, "spec": {"schedule": "*/5 * * * *", "jobTemplate": job_template, **spec}}


def names(world: World) -> list[str]:
    return [each["metadata"]["name"] for each in world.all(job.KIND)]


async def test_a_job_comes_with_its_time_and_the_status_says_so(tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(tmp_path, cronjobs, clock=clock) as it:
        await it.create(KIND, tick())
        await clock.advance(299)
        assert names(it) == []
        await clock.advance(2)
        await it.until(lambda: (it.get(KIND, "tick") or {}).get("status", {}).get("active"))
        minutes = int(clock.now().timestamp()) // 60
        assert names(it) == [f"tick-{minutes}"]
        status = (it.get(KIND, "tick") or {})["status"]
        assert status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
        assert status["active"][0]["uid"] == it.all(job.KIND)[0]["metadata"]["uid"]
        assert it.all(job.KIND)[0]["metadata"]["labels"] == {"a": "b"}


async def test_a_job_made_just_before_a_crash_is_not_made_again(tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(tmp_path, cronjobs, clock=clock) as it:
        await it.create(KIND, tick())
        await clock.advance(301)
        await it.until(lambda: (it.get(KIND, "tick") or {}).get("status", {}).get("active"))
        await it.status(KIND, "tick", {"active": None, "lastScheduleTime": None})
        await clock.advance(1)
        await it.until(lambda: (it.get(KIND, "tick") or {}).get("status", {}).get("active"))
        assert len(names(it)) == 1


async def test_replace_ends_the_one_before(tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(tmp_path, cronjobs, clock=clock) as it:
        await it.create(KIND, tick(concurrencyPolicy="Replace"))
        await clock.advance(301)
        (first,) = await it.until(lambda: names(it))
        await it.until(lambda: (it.get(KIND, "tick") or {}).get("status", {}).get("active"))
        await clock.advance(300)
        await it.until(lambda: names(it) and first not in names(it))
        await it.events.flush()
        assert f"Deleted job {first}" in {each["message"] for each in it.all(event.KIND)}
