"""What a CronJob does next, as a function of the jobs there are and the time.

Of all the times that have passed since the last job, only the latest counts, unless it is too late for that one as well
(`startingDeadlineSeconds`). A job's name says when it was due, so nothing is made twice, whoever crashed in between. Rules
and words are those of Kubernetes' CronJob controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

import msgspec

from motet.base import cron, timestamps
from motet.base.cron import Schedule
from motet.client.events import NORMAL, WARNING
from motet.controllers import podview
from motet.controllers.jobview import JobView
from motet.store.document import Meta

# After this many missed times somebody should look at the clocks.
_MANY_MISSED = 100
# A moment later than due, so that the time has certainly come.
_AFTERWARDS = 0.1


class CronJobSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    schedule: str = ""
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency_policy: str = "Allow"
    suspend: bool = False
    job_template: dict[str, Any] = {}
    successful_jobs_history_limit: int | None = 3
    failed_jobs_history_limit: int | None = 1


class ActiveJob(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """A reference to a job that has not ended."""

    name: str
    namespace: str = ""
    uid: str = ""
    api_version: str = "batch/v1"
    kind: str = "Job"
    resource_version: str = ""


class CronJobStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    active: tuple[ActiveJob, ...] = ()
    last_schedule_time: str | None = None
    last_successful_time: str | None = None


class CronJobView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: CronJobSpec = CronJobSpec()
    status: CronJobStatus = CronJobStatus()

    def job_name(self, due: datetime) -> str:
        return f"{self.metadata.name}-{int(due.timestamp()) // 60}"


@dataclass(frozen=True, slots=True)
class Told:
    """An event about the cron job."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Delete `replace` and then make the job of `due`, unless it is there; then the status, then delete `surplus`.

    `status` is without the job to be made. `look_again` is in seconds.
    """

    status: CronJobStatus
    replace: tuple[JobView, ...] = ()
    due: datetime | None = None
    surplus: tuple[JobView, ...] = ()
    events: tuple[Told, ...] = ()
    look_again: float | None = None


@dataclass(slots=True)
class _Draft:
    status: CronJobStatus
    replace: list[JobView] = field(default_factory=list)
    due: datetime | None = None
    events: list[Told] = field(default_factory=list)
    look_again: float | None = None

    def tell(self, type: str, reason: str, message: str) -> None:
        self.events.append(Told(type, reason, message))


def decide(view: CronJobView, jobs: Sequence[JobView], now: datetime, zone: tzinfo | None) -> Plan:
    """The next writes for `view`, which controls `jobs`. `zone` is None when nobody knows the one it names."""
    draft = _Draft(view.status)
    _follow(view, jobs, draft)
    if view.metadata.deletion_timestamp is None and not view.spec.suspend:
        if zone is None:
            draft.tell(WARNING, "UnknownTimeZone", f'invalid timeZone: "{view.spec.time_zone}": unknown time zone')
        else:
            _schedule(view, jobs, now, zone, draft)
    surplus = () if view.metadata.deletion_timestamp is not None else tuple(_surplus(view, jobs))
    return Plan(draft.status, tuple(draft.replace), draft.due, surplus, tuple(draft.events), draft.look_again)


def _follow(view: CronJobView, jobs: Sequence[JobView], draft: _Draft) -> None:
    """Bring the list of active jobs up to date, and the time of the last success."""
    by_uid = {job.metadata.uid: job for job in jobs}
    active: list[ActiveJob] = []
    for entry in view.status.active:
        job = by_uid.get(entry.uid)
        end = job.finished() if job is not None else None
        if job is None:
            draft.tell(NORMAL, "MissingJob", f"Active job went missing: {entry.name}")
        elif end is not None:
            draft.tell(NORMAL, "SawCompletedJob", f"Saw completed job: {entry.name}, condition: {end.type}")
        else:
            active.append(entry)
    known = {entry.uid for entry in view.status.active}
    for job in jobs:
        if job.metadata.uid not in known and job.finished() is None:
            name = job.metadata.name
            draft.tell(WARNING, "UnexpectedJob", f"Saw a job that the controller did not create or forgot: {name}")
    ends = [job.status.completion_time for job in jobs if job.status.completion_time and _succeeded(job)]
    last = max([*ends, *filter(None, [view.status.last_successful_time])], default=None)
    draft.status = msgspec.structs.replace(draft.status, active=tuple(active), last_successful_time=last)


def _succeeded(job: JobView) -> bool:
    end = job.finished()
    return end is not None and end.type == "Complete"


def _schedule(view: CronJobView, jobs: Sequence[JobView], now: datetime, zone: tzinfo, draft: _Draft) -> None:
    try:
        schedule = cron.parse(view.spec.schedule)
    except ValueError as error:
        draft.tell(WARNING, "UnparseableSchedule", f'unparseable schedule: "{view.spec.schedule}" : {error}')
        return
    draft.look_again = _next_look(view, schedule, now, zone)
    due, missed = cron.latest(schedule, _since(view, now, deadline=True), now, zone)
    if missed > _MANY_MISSED:
        message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        draft.tell(WARNING, "TooManyMissedTimes", message)
    if due is None:
        return
    deadline = view.spec.starting_deadline_seconds
    if deadline is not None and due + timedelta(seconds=deadline) < now:
        draft.tell(WARNING, "MissSchedule", f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S %z}")
        return
    _start(view, jobs, due, draft)


def _start(view: CronJobView, jobs: Sequence[JobView], due: datetime, draft: _Draft) -> None:
    name, active = view.job_name(due), draft.status.active
    if any(entry.name == name for entry in active) or view.status.last_schedule_time == timestamps.format_time(due):
        return
    if active and view.spec.concurrency_policy == "Forbid":
        message = "Not starting job because prior execution is running and concurrency policy is Forbid"
        draft.tell(NORMAL, "JobAlreadyActive", message)
        return
    if view.spec.concurrency_policy == "Replace":
        uids = {entry.uid for entry in active}
        draft.replace = [job for job in jobs if job.metadata.uid in uids]
        draft.status = msgspec.structs.replace(draft.status, active=())
    draft.due = due


def _since(view: CronJobView, now: datetime, *, deadline: bool) -> datetime:
    """From when on times may have been missed."""
    text = view.status.last_schedule_time or view.metadata.creation_timestamp
    since = podview.instant(text) if text else now
    seconds = view.spec.starting_deadline_seconds
    return max(since, now - timedelta(seconds=seconds)) if deadline and seconds is not None else since


def _next_look(view: CronJobView, schedule: Schedule, now: datetime, zone: tzinfo) -> float | None:
    """Seconds until the next time a job is due."""
    since = _since(view, now, deadline=False)
    latest, missed = cron.latest(schedule, since, now, zone)
    following = schedule.next(latest or (now if missed else since), zone)
    if following is not None and following <= now:
        following = schedule.next(now, zone)
    return None if following is None else (following - now).total_seconds() + _AFTERWARDS


def _surplus(view: CronJobView, jobs: Sequence[JobView]) -> list[JobView]:
    """The oldest of the jobs that ended, beyond what is to be kept of each sort."""
    surplus: list[JobView] = []
    for type, limit in (
        ("Complete", view.spec.successful_jobs_history_limit),
        ("Failed", view.spec.failed_jobs_history_limit),
    ):
        ended = [job for job in jobs if (end := job.finished()) and end.type == type and not _leaving(job)]
        if limit is not None and len(ended) > limit:
            surplus += sorted(ended, key=_begun)[: len(ended) - limit]
    return surplus


def _leaving(job: JobView) -> bool:
    return job.metadata.deletion_timestamp is not None


def _begun(job: JobView) -> tuple[str, str]:
    return job.status.start_time or "", job.metadata.name
