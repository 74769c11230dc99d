"""What an App says of itself: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from motet.base import timestamps
from motet.controllers import podview
from motet.controllers.apprestarts import Next
from motet.controllers.apps import Scene, Slot, Want, fill
from motet.controllers.apptasks import is_active, version_of
from motet.controllers.appview import AppStatus, AppView, JobRecord, UpdateRecord
from motet.controllers.podview import Condition
from motet.kinds.tasks import LABEL


@dataclass(frozen=True, slots=True)
class Revisions:
    """Names of the present revision and of the one a rollback goes to."""

    current: str = ""
    previous: str = ""


def decide(scene: Scene, record: UpdateRecord | None, revisions: Revisions) -> AppStatus:
    """The status of the App in `scene`, whose update stands at `record`."""
    app, now = scene.app, scene.now
    slots, _ = fill(scene)
    # A node that only keeps what it has is not missing a pod.
    counted = {name: slot for name, slot in slots.items() if slot.want is Want.RUN or slot.new or slot.old}
    active = [pod for pod in scene.tasks if is_active(pod)]
    ready = sum(podview.is_ready(pod) for pod in active)
    updated = sum(version_of(pod) == scene.version for pod in active)
    job = None
    if app.is_job:
        job = _job(app, slots, len(active), scene.iteration, now)
        conditions = _job_conditions(job, len(slots))
    else:
        conditions = _conditions(len(counted), len(active), ready, updated, _ended(counted))
    if app.spec.depends_on:
        waits = "; ".join(scene.gate.waits)
        conditions.append(
            _condition("DependenciesMet", not waits, "Waiting" if waits else "Met", waits or "all are met")
        )
    return AppStatus(
        observed_generation=app.metadata.generation,
        replicas=len(active),
        updated_replicas=updated,
        ready_replicas=ready,
        available_replicas=ready,
        conditions=_since(conditions, app.status.conditions, now),
        selector=f"{LABEL}={app.metadata.name}",
        desired_replicas=len(counted),
        version=scene.version,
        current_revision=revisions.current,
        previous_revision=revisions.previous,
        update=record,
        job=job,
        schedule=scene.schedule,
        dependencies_met_for=scene.gate.met_for,
    )


def document(status: AppStatus) -> dict[str, Any]:
    """As stored: without what is not there."""
    found = msgspec.to_builtins(status)
    for name in ("job", "schedule"):
        if found[name]:
            found[name] = {key: value for key, value in found[name].items() if value is not None}
    return {key: value for key, value in found.items() if value not in (None, "")}


def _ended(slots: Mapping[str, Slot]) -> int:
    """Slots whose work is over."""
    return sum(not slot.new and slot.verdict.next in (Next.DONE, Next.FAILED) for slot in slots.values())


def _conditions(wanted: int, active: int, ready: int, updated: int, ended: int) -> list[Condition]:
    enough = ready + ended >= wanted
    done = updated == active <= wanted <= updated + ended and enough
    return [
        _condition("Available", enough, "AllReady" if enough else "NotAllReady", f"{ready} of {wanted} pods are ready"),
        _condition(
            "Progressing",
            not done,
            "Updated" if done else "Updating",
            f"{updated} of {wanted} pods are of the current template",
        ),
    ]


def _job(app: AppView, slots: Mapping[str, Slot], active: int, iteration: int, now: datetime) -> JobRecord:
    known = app.status.job or JobRecord()
    again = known.iteration == iteration
    completed = sum(not slot.new and slot.verdict.next is Next.DONE for slot in slots.values())
    failed = sum(not slot.new and slot.verdict.next is Next.FAILED for slot in slots.values())
    over = completed + failed >= len(slots) and not active
    stamp = timestamps.format_time(now)
    if not iteration:
        return JobRecord()
    return JobRecord(
        iteration=iteration,
        completed=completed,
        active=active,
        failed=failed,
        started_at=known.started_at if again and known.started_at else stamp,
        completed_at=((known.completed_at if again else None) or stamp) if over else None,
    )


def _job_conditions(job: JobRecord, slots: int) -> list[Condition]:
    complete = job.completed >= slots
    failed = job.failed > 0 and job.completed_at is not None
    return [
        _condition(
            "Complete", complete, "Completed" if complete else "Running", f"{job.completed} of {slots} completed"
        ),
        _condition(
            "Failed", failed, "TasksFailed" if failed else "Running", f"{job.failed} of {slots} failed for good"
        ),
    ]


def _condition(type: str, holds: bool, reason: str, message: str) -> Condition:
    return Condition(type, "True" if holds else "False", reason, message)


def _since(found: Sequence[Condition], before: Sequence[Condition], now: datetime) -> tuple[Condition, ...]:
    old = {condition.type: condition for condition in before}
    stamp = timestamps.format_time(now)
    return tuple(
        msgspec.structs.replace(
            each,
            last_transition_time=old[each.type].last_transition_time
            if each.type in old and old[each.type].status == each.status
            else stamp,
        )
        for each in found
    )
