"""Jobs that run by the clock: by hand, by laws, and on a real kernel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.app_scenes import an_app, task
from tests.controllers.builders import NOW
from tests.controllers.test_app import apps, tasks_of
from tests.controllers.world import World, run_pods, world

from motet.base import timestamps
from motet.base.clock import FakeClock
from motet.controllers import appschedule
from motet.controllers.apps import Plan, Scene, Want, decide
from motet.controllers.appschedule import Run
from motet.controllers.appview import AppView, TaskPod
from motet.kinds import app

JOB = {"replicatedJob": {"totalCompletions": 1, "maxConcurrent": 1}}
# NOW is at the full hour.
HOURLY = {"cron": "0 * * * *"}


def stamp(minutes: float) -> str:
    return timestamps.format_time(NOW + timedelta(minutes=minutes))


def scheduled(record: dict[str, Any] | None = None, iteration: int = 0, **spec: Any) -> AppView:
    job = {"iteration": iteration, "completedAt": stamp(-1)} if iteration else None
    status = {"observedGeneration": 1, "version": "new", **({"job": job} if job else {})}
    if record is not None:
        status["schedule"] = {"words": "0 * * * * UTC", "version": "new", **record}
    return an_app(JOB, status=status, **{"schedule": HOURLY, **spec})


def run(view: AppView, minutes: float = 0.0, *, busy: bool = False, version: str = "new") -> Run:
    return appschedule.decide(view, version, NOW + timedelta(minutes=minutes), UTC, busy=busy)


def test_a_new_schedule_waits_for_its_first_time() -> None:
    found = run(scheduled(), 10)
    assert (found.iteration, found.record.since, found.record.next_run_time) == (0, stamp(10), stamp(60))
    assert found.look_again is not None
    assert 3000 <= found.look_again <= 3001


def test_a_run_begins_when_it_is_due_and_the_latest_of_several_counts() -> None:
    found = run(scheduled({"since": stamp(-60 * 5)}, 2), 10)
    assert (found.iteration, found.record.last_run_time, found.record.since) == (3, stamp(0), stamp(0))
    assert found.told == ("RunStarted", f"Run 3 of {stamp(0)} began")


def test_what_has_not_ended_is_let_run_or_replaced() -> None:
    since = {"since": stamp(-30)}
    left_out = run(scheduled(since, 2), busy=True)
    assert (left_out.iteration, left_out.record.since) == (2, stamp(0))
    assert left_out.told == ("RunSkipped", f"The run of {stamp(0)} is left out: run 2 has not ended")
    assert run(scheduled(since, 2, schedule={**HOURLY, "overlap": "replace"}), busy=True).iteration == 3


def test_a_run_may_be_too_late() -> None:
    late = scheduled({"since": stamp(-30)}, 1, schedule={**HOURLY, "startingDeadlineSeconds": 60})
    assert run(late, 2).told == ("RunMissed", f"The run of {stamp(0)} is too late to begin")
    assert run(late, 0.5).iteration == 2


def test_nothing_begins_while_it_is_paused_and_one_run_makes_up_for_it() -> None:
    paused = run(scheduled({"since": stamp(-300)}, 1, paused=True))
    assert (paused.iteration, paused.record.next_run_time, paused.look_again) == (1, None, None)
    assert run(scheduled({"since": stamp(-300)}, 1)).iteration == 2


def test_a_run_can_be_forced_once() -> None:
    found = run(scheduled({"since": stamp(5)}, 1, forceUpdate=4), 10, busy=True)
    assert (found.iteration, found.record.forced, found.record.last_run_time) == (2, 4, stamp(10))
    assert run(scheduled({"since": stamp(5), "forced": 4}, 2, forceUpdate=4), 10).iteration == 2


def test_another_version_waits_for_the_next_run_and_leaves_this_one_alone() -> None:
    view = scheduled({"since": stamp(5)}, 1)
    found = run(view, 10, version="newer")
    assert (found.iteration, found.record.version) == (1, "new")
    scene = Scene(view, "newer", {"1": Want.RUN}, [task(1, "new", iteration=1)], NOW, 1, schedule=found.record)
    assert not decide(scene).acts()
    ended = Scene(view, "newer", {"1": Want.RUN}, [], NOW, 1, schedule=found.record)
    assert not decide(ended).create


def test_a_zone_that_nobody_knows_runs_nothing() -> None:
    found = appschedule.decide(scheduled({"since": stamp(-300)}, 1), "new", NOW, None, busy=False)
    assert (found.iteration, found.told and found.told[0]) == (1, "UnknownTimeZone")


class Sim:
    """One slot, a clock of minutes, and a loop that may stop after any of its writes."""

    def __init__(self, overlap: str, lasts: int) -> None:
        self.overlap, self.lasts = overlap, lasts
        self.minute = 0
        self.version = "v1"
        self.pods: list[tuple[TaskPod, int]] = []
        self.status: dict[str, Any] = {}
        self.begun: list[tuple[int, str]] = []

    @property
    def now(self) -> datetime:
        return NOW + timedelta(minutes=self.minute)

    def step(self, cut: int = 9) -> Plan:
        schedule = {"cron": "*/10 * * * *", "overlap": self.overlap}
        view = an_app(JOB, status=self.status, schedule=schedule, restart={"condition": "none"}, taskHistoryLimit=2)
        pods = [pod for pod, _ in self.pods]
        busy = appschedule.is_busy(view, self.version, pods)
        found = appschedule.decide(view, self.version, self.now, UTC, busy=busy)
        scene = Scene(view, self.version, {"1": Want.RUN}, pods, self.now, found.iteration, schedule=found.record)
        plan = decide(scene)
        writes: list[Any] = []
        if found.record != view.status.schedule:
            writes.append(lambda: self.write(found))
        writes += [lambda pod=pod: self.drop(pod) for pod in (*plan.forget, *plan.stop, *plan.delete)]
        writes += [lambda: self.start(found.iteration) for _ in plan.create]
        for write in writes[:cut]:
            write()
        return plan

    def write(self, found: Run) -> None:
        self.status = {
            "observedGeneration": 1,
            "version": self.version,
            "schedule": msgspec.to_builtins(found.record),
            **({"job": {"iteration": found.iteration, "completedAt": stamp(0)}} if found.iteration else {}),
        }

    def drop(self, gone: TaskPod) -> None:
        self.pods = [each for each in self.pods if each[0].metadata.uid != gone.metadata.uid]

    def start(self, iteration: int) -> None:
        self.begun.append((iteration, self.version))
        self.pods.append((task(1, self.version, iteration=iteration), self.minute))

    def advance(self) -> None:
        self.minute += 1
        self.pods = [
            (task(1, version_of(pod), iteration=int(iteration_of(pod)), ended=1), since)
            if self.minute - since >= self.lasts
            else (pod, since)
            for pod, since in self.pods
        ]


def version_of(pod: TaskPod) -> str:
    return (pod.metadata.labels or {})["motet.dev/template-hash"]


def iteration_of(pod: TaskPod) -> str:
    return (pod.metadata.labels or {})["motet.dev/iteration"]


@settings(max_examples=80, deadline=None)
@given(
    overlap=st.sampled_from(["skip", "replace"]),
    lasts=st.sampled_from([1, 4, 15, 25]),
    cuts=st.lists(st.integers(0, 2), max_size=60),
    change_at=st.integers(0, 70),
    gap=st.sampled_from([1, 1, 1, 7, 13]),
)
def test_law_every_run_begins_once_whoever_crashes(
    overlap: str, lasts: int, cuts: list[int], change_at: int, gap: int
) -> None:
    sim = Sim(overlap, lasts)
    for turn in range(90):
        if turn == change_at:
            sim.version = "v2"
        if turn % gap == 0:
            sim.step(cuts[turn] if turn < len(cuts) else 9)
            running = [pod for pod, _ in sim.pods if pod.status.phase == "Running"]
            assert len(running) <= 1
        sim.advance()
    for _ in range(3):
        sim.step()
    assert not sim.step().acts()
    runs = [iteration for iteration, _ in sim.begun]
    assert len(runs) == len(set(runs))  # a run that ended or failed is not tried again: no restarts
    assert runs == sorted(runs)
    assert len(runs) <= 9
    assert [version for _, version in sim.begun] == sorted(version for _, version in sim.begun)
    if not cuts and gap == 1 and lasts == 1:
        assert len(runs) >= 8
    assert len(sim.pods) <= 3


async def short_runs(it: World) -> None:
    await run_pods(it.client, it.clock)


async def test_a_job_runs_by_the_clock_keeps_its_history_and_can_be_run_now(tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(tmp_path, apps, short_runs, clock=clock) as it:
        template = {"spec": {"containers": [{"name": "c", "image": "done"}]}}
        spec = {"mode": JOB, "schedule": {"cron": "*/5 * * * *"}, "template": template, "taskHistoryLimit": 2}
        await it.create(app.KIND, {"metadata": {"name": "web"}, "spec": spec})

        def ran(iteration: int) -> bool:
            status = (it.get(app.KIND, "web") or {}).get("status") or {}
            job = status.get("job") or {}
            return job.get("iteration") == iteration and "completedAt" in job

        await it.until(lambda: (it.get(app.KIND, "web") or {}).get("status", {}).get("schedule"))
        assert tasks_of(it) == []
        for iteration in (1, 2, 3):
            await clock.advance(301)
            await it.until(lambda iteration=iteration: ran(iteration))
        await clock.advance(1)
        await it.until(lambda: tasks_of(it) == [("1", "complete")] * 2)
        await it.client.patch(app.KIND, "web", {"spec": {"forceUpdate": 1}}, "default")
        await clock.advance(1)
        await it.until(lambda: ran(4))
