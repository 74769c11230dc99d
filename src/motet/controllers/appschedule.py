"""When a job that has a schedule runs: pure.

Every run is another iteration of the job. What is begun is written down in the status before its pods are made, so a run is begun
once, whoever crashes. Of several times that have passed, one run makes up for all, as a CronJob's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

import msgspec

from motet.base import cron, timestamps
from motet.controllers.apptasks import is_over, iteration_of
from motet.controllers.appview import AppView, ScheduleRecord, TaskPod
from motet.controllers.podview import instant
from motet.kinds import appstarts

# A moment later than due, so that the time has certainly come.
_AFTERWARDS = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """The run there is now (0: none yet), of which version it is, and what the status says of the schedule.

    `look_again` is in seconds. `told` is news for people: (reason, message).
    """

    iteration: int
    record: ScheduleRecord
    look_again: float | None = None
    told: tuple[str, str] | None = None


def decide(app: AppView, version: str, now: datetime, zone: tzinfo | None, *, busy: bool) -> Run:
    """The run of an App with a schedule. `busy`: the latest one has not ended. `zone`: None when nobody knows it."""
    schedule = app.spec.schedule
    assert schedule is not None
    iteration = app.status.job.iteration if app.status.job is not None else 0
    record = _known(app, now)
    if zone is None:
        return Run(iteration, record, told=("UnknownTimeZone", f"unknown time zone {schedule.time_zone!r}"))
    try:
        times = cron.parse(schedule.cron)
    except ValueError as error:
        return Run(iteration, record, told=("UnparseableSchedule", str(error)))
    if app.spec.paused:
        return Run(iteration, msgspec.structs.replace(record, next_run_time=None))
    due, _ = cron.latest(times, instant(record.since), now, zone)
    told = None
    if app.spec.force_update != record.forced:
        iteration += 1
        record = msgspec.structs.replace(record, forced=app.spec.force_update, version=version)
        record = msgspec.structs.replace(record, last_run_time=timestamps.format_time(now))
        told = ("RunStarted", f"Run {iteration} began, as asked for")
        if due is not None:
            record = msgspec.structs.replace(record, since=timestamps.format_time(due))
    elif due is not None:
        stamp = timestamps.format_time(due)
        deadline = schedule.starting_deadline_seconds
        record = msgspec.structs.replace(record, since=stamp)
        if deadline is not None and due + timedelta(seconds=deadline) < now:
            told = ("RunMissed", f"The run of {stamp} is too late to begin")
        elif busy and schedule.overlap == appstarts.SKIP:
            told = ("RunSkipped", f"The run of {stamp} is left out: run {iteration} has not ended")
        else:
            iteration += 1
            record = msgspec.structs.replace(record, last_run_time=stamp, version=version)
            told = ("RunStarted", f"Run {iteration} of {stamp} began")
    following = times.next(max(now, instant(record.since)), zone)
    if following is None:
        return Run(iteration, msgspec.structs.replace(record, next_run_time=None), told=told)
    record = msgspec.structs.replace(record, next_run_time=timestamps.format_time(following))
    return Run(iteration, record, (following - now).total_seconds() + _AFTERWARDS, told)


def is_busy(app: AppView, version: str, pods: Sequence[TaskPod]) -> bool:
    """Whether the latest run has not ended. One that another version has overtaken makes no new attempts."""
    job = app.status.job
    if job is None or not job.iteration:
        return False
    if any(iteration_of(pod) == str(job.iteration) and not is_over(pod) for pod in pods):
        return True
    record = app.status.schedule
    return job.completed_at is None and record is not None and record.version == version


def _known(app: AppView, now: datetime) -> ScheduleRecord:
    """What was written down; of a schedule that is new, that its times count from now on."""
    schedule, known = app.spec.schedule, app.status.schedule
    assert schedule is not None
    words = f"{schedule.cron} {schedule.time_zone or 'UTC'}"
    if known is not None and known.words == words:
        return known
    first = app.status.observed_generation == 0 and app.metadata.creation_timestamp
    since = (first and app.metadata.creation_timestamp) or timestamps.format_time(now)
    if known is None:
        return ScheduleRecord(words, since, version=app.status.version, forced=app.spec.force_update)
    return msgspec.structs.replace(known, words=words, since=since)
