"""What a CronJob does next, as a plain function of its jobs and the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import view

from motet.base.timestamps import format_time
from motet.controllers import crons
from motet.controllers.cronjob import job_of
from motet.controllers.crons import CronJobView, Plan
from motet.controllers.jobview import JobView

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def cronjob(schedule: str = "0 * * * *", *, last: datetime | None = None, **spec: Any) -> dict[str, Any]:
    created = NOON - timedelta(minutes=90)
    return {
        "metadata": {"name": "tick", "namespace": "default", "uid": "c", "creationTimestamp": format_time(created)},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {}}}, **spec},
        "status": {"lastScheduleTime": format_time(last)} if last else {},
    }


def job(name: str, end: str = "", *, begun: datetime = NOON - timedelta(hours=1)) -> dict[str, Any]:
    status: dict[str, Any] = {"startTime": format_time(begun)}
    if end:
        status["conditions"] = [{"type": end, "status": "True"}]
    if end == "Complete":
        status["completionTime"] = format_time(begun + timedelta(minutes=1))
    return {"metadata": {"name": name, "namespace": "default", "uid": f"j-{name}"}, "status": status}


def active(body: dict[str, Any], *names: str) -> dict[str, Any]:
    body["status"]["active"] = [{"name": name, "uid": f"j-{name}"} for name in names]
    return body


def decide(body: dict[str, Any], *jobs: dict[str, Any], now: datetime = NOON, zone: Any = UTC) -> Plan:
    return crons.decide(view(CronJobView, body), [view(JobView, each) for each in jobs], now, zone)


def reasons(plan: Plan) -> list[str]:
    return [told.reason for told in plan.events]


def test_a_job_is_made_when_its_time_has_come_and_not_before() -> None:
    assert decide(cronjob(last=NOON - timedelta(hours=1))).due == NOON
    early = decide(cronjob(last=NOON), now=NOON + timedelta(minutes=20))
    assert early.due is None
    assert early.look_again == 40 * 60 + 0.1


def test_of_several_missed_times_only_the_latest_counts() -> None:
    plan = decide(cronjob("*/10 * * * *", last=NOON - timedelta(hours=3)), now=NOON + timedelta(minutes=3))
    assert plan.due == NOON
    assert plan.look_again == 7 * 60 + 0.1


def test_an_irregular_schedule_is_caught_up_with_too() -> None:
    thursday = datetime(2026, 1, 8, 9, tzinfo=UTC)
    plan = decide(cronjob("30 6-16/4 * * 1-5", last=NOON - timedelta(days=3)), now=thursday)
    assert plan.due == datetime(2026, 1, 8, 6, 30, tzinfo=UTC)


def test_times_that_are_not_evenly_spaced_are_not_overlooked() -> None:
    body = cronjob("*/7 * * * *", last=NOON + timedelta(minutes=49))
    assert decide(body, now=NOON + timedelta(minutes=64, seconds=1)).due == NOON + timedelta(minutes=60)


def test_what_is_too_late_is_left_out() -> None:
    late = decide(cronjob(last=NOON - timedelta(hours=1), startingDeadlineSeconds=60), now=NOON + timedelta(minutes=5))
    assert late.due is None
    assert decide(cronjob(last=NOON - timedelta(hours=1), startingDeadlineSeconds=600)).due == NOON


def test_many_missed_times_are_worth_a_word() -> None:
    plan = decide(cronjob("* * * * *", last=NOON - timedelta(hours=3)))
    assert (plan.due, reasons(plan)) == (NOON, ["TooManyMissedTimes"])


def test_a_time_is_not_served_twice() -> None:
    assert decide(cronjob(last=NOON)).due is None
    name = view(CronJobView, cronjob()).job_name(NOON)
    assert decide(active(cronjob(last=NOON - timedelta(hours=1)), name), job(name)).due is None


def test_forbid_waits_for_the_job_before_and_then_catches_up() -> None:
    body = active(cronjob(last=NOON - timedelta(hours=1), concurrencyPolicy="Forbid"), "before")
    plan = decide(body, job("before"))
    assert (plan.due, reasons(plan)) == (None, ["JobAlreadyActive"])
    assert decide(body, job("before", "Complete"), now=NOON + timedelta(minutes=5)).due == NOON


def test_replace_deletes_the_job_before() -> None:
    body = active(cronjob(last=NOON - timedelta(hours=1), concurrencyPolicy="Replace"), "before")
    plan = decide(body, job("before"), job("by-hand"))
    assert [each.metadata.name for each in plan.replace] == ["before"]
    assert (plan.due, plan.status.active) == (NOON, ())


def test_allow_lets_them_run_beside_each_other() -> None:
    plan = decide(active(cronjob(last=NOON - timedelta(hours=1)), "before"), job("before"))
    assert (plan.due, plan.replace, [each.name for each in plan.status.active]) == (NOON, (), ["before"])


def test_a_suspended_one_makes_none_but_still_follows_and_clears_away() -> None:
    body = active(cronjob(last=NOON - timedelta(hours=1), suspend=True, successfulJobsHistoryLimit=0), "before")
    plan = decide(body, job("before", "Complete"))
    assert (plan.due, plan.look_again, plan.status.active) == (None, None, ())
    assert [each.metadata.name for each in plan.surplus] == ["before"]


def test_what_ended_or_went_missing_is_no_longer_active() -> None:
    body = active(cronjob(last=NOON), "done", "lost", "running")
    plan = decide(body, job("done", "Complete"), job("running"))
    assert [each.name for each in plan.status.active] == ["running"]
    assert reasons(plan) == ["SawCompletedJob", "MissingJob"]
    assert plan.status.last_successful_time == format_time(NOON - timedelta(minutes=59))


def test_a_job_made_by_hand_is_noticed() -> None:
    assert reasons(decide(cronjob(last=NOON), job("by-hand"))) == ["UnexpectedJob"]


def test_the_oldest_of_each_sort_go() -> None:
    ended = [job(f"good-{hour}", "Complete", begun=NOON - timedelta(hours=hour)) for hour in range(1, 6)]
    ended += [job(f"bad-{hour}", "Failed", begun=NOON - timedelta(hours=hour)) for hour in range(1, 4)]
    plan = decide(cronjob(last=NOON), *ended)
    assert sorted(each.metadata.name for each in plan.surplus) == ["bad-2", "bad-3", "good-4", "good-5"]


def test_the_clock_is_that_of_the_place() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    body = cronjob("0 21 * * *", last=NOON - timedelta(days=1), timeZone="Asia/Tokyo")
    assert decide(body, zone=tokyo).due == NOON
    made = job_of(builders.document("batch/cronjobs", body), NOON, tokyo)
    scheduled = made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert scheduled == "2026-01-01T21:00:00+09:00"
    assert made["metadata"]["name"] == f"tick-{int(NOON.timestamp()) // 60}"


def test_a_place_nobody_knows_is_said_to_be_so() -> None:
    assert reasons(decide(cronjob(last=NOON - timedelta(hours=1)), zone=None)) == ["UnknownTimeZone"]


def test_a_schedule_that_never_comes_is_not_waited_for() -> None:
    plan = decide(cronjob("0 0 31 2 *"))
    assert (plan.due, plan.look_again) == (None, None)


def test_one_on_its_way_out_makes_and_clears_nothing() -> None:
    body = cronjob(last=NOON - timedelta(hours=1), successfulJobsHistoryLimit=0)
    body["metadata"]["deletionTimestamp"] = format_time(NOON)
    plan = decide(body, job("done", "Complete"))
    assert (plan.due, plan.surplus) == (None, ())


@settings(max_examples=100, deadline=None)
@given(
    schedule=st.sampled_from(["* * * * *", "*/7 * * * *", "0 3 * * *", "30 6-16/4 * * 1-5", "@every 90s", "0 0 1 * *"]),
    steps=st.lists(st.integers(1, 20_000), min_size=1, max_size=12),
)
def test_law_each_due_time_is_served_once_in_order_and_looking_again_is_in_time(
    schedule: str, steps: list[int]
) -> None:
    body, now = cronjob(schedule, last=NOON), NOON
    served: list[datetime] = []
    for step in steps:
        plan = decide(body, now=now)
        assert plan.look_again is not None
        assert plan.look_again > 0
        now += timedelta(seconds=step)
        late = step + 0.5 > plan.look_again  # which is a moment after the whole second
        plan = decide(body, now=now)
        assert (plan.due is not None) == late
        if plan.due is not None:
            assert plan.due <= now
            served.append(plan.due)
            body["status"] = msgspec.to_builtins(
                msgspec.structs.replace(plan.status, last_schedule_time=format_time(plan.due))
            )
        assert decide(body, now=now).due is None
    assert served == sorted(set(served))
