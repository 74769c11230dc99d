"""How an update or a rollback of an App goes: its state, and when it stops, goes back or is done. Pure.

    updating          -- too many failures, pause     --> paused
    updating          -- too many failures, rollback  --> (the earlier version) rollback_started
    updating          -- all slots settled and watched --> completed
    rollback_started  -- too many failures, pause     --> rollback_paused
    rollback_started  -- all slots settled and watched --> rollback_completed
    (rollback_)paused -- resumed                      --> updating, rollback_started

A rollback has no failure action but to pause or to go on, so there is an end. The words are Swarm's (moby, api: UpdateStatus).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from motet.base import timestamps
from motet.controllers.appview import AppView, Update, UpdateRecord
from motet.kinds import app as app_kind

UPDATING, PAUSED, COMPLETED = "updating", "paused", "completed"
ROLLBACK_STARTED, ROLLBACK_PAUSED, ROLLBACK_COMPLETED = "rollback_started", "rollback_paused", "rollback_completed"
_OVER = (COMPLETED, ROLLBACK_COMPLETED)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the slots say. `failed`: in how many a pod of the version failed while it was watched; `settled`: all are through;
    `watched_for`: seconds until the last of them has been watched long enough."""

    slots: int = 0
    failed: int = 0
    settled: bool = True
    watched_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`moving`: slots may be renewed. `roll_back`: the App is to be what it was before. `wait` is in seconds."""

    record: UpdateRecord | None = None
    moving: bool = True
    roll_back: bool = False
    wait: float | None = None


def is_rollback(app: AppView, version: str) -> bool:
    """The present version is one that somebody, or we, went back to."""
    return (app.metadata.annotations or {}).get(app_kind.ROLLBACK) == version


def policy(app: AppView, version: str) -> Update:
    """The rules that the move to `version` goes by."""
    if not is_rollback(app, version):
        return app.spec.update
    if app.spec.rollback is not None:
        return app.spec.rollback
    return msgspec.structs.replace(app.spec.update, failure_action="pause")


def begun(app: AppView, version: str, now: datetime, *, changed: bool) -> UpdateRecord | None:
    """The record to go on with. `changed`: there was another version before."""
    record = app.status.update
    if record is not None and record.version == version:
        return record
    if record is None and not changed:
        return None
    since = timestamps.format_time(now)
    if is_rollback(app, version):
        reason = (app.metadata.annotations or {}).get(app_kind.ROLLBACK_REASON) or "rolling back"
        return UpdateRecord(ROLLBACK_STARTED, version, since, message=reason)
    return UpdateRecord(UPDATING, version, since, message="update in progress")


def resumed_at(app: AppView, record: UpdateRecord | None) -> datetime | None:
    """When somebody last asked that the update go on in spite of failures; None when it was for an earlier one."""
    said = (app.metadata.annotations or {}).get(app_kind.RESUMED, "")
    if record is None or not said:
        return None
    try:
        found = timestamps.parse_time(said)
    except ValueError:
        return None
    return found if found >= timestamps.parse_time(record.started_at) else None


def decide(
    app: AppView, record: UpdateRecord | None, found: Findings, now: datetime, *, previous: bool = True
) -> Outcome:
    """What is next for `record`. `previous`: there is an earlier version to go back to."""
    if record is None or record.state in _OVER:
        return Outcome(record, moving=not app.spec.paused)
    back = is_rollback(app, record.version)
    rules = policy(app, record.version)
    if resumed_at(app, record) is None:
        found = replace(found, failed=max(found.failed, record.failures))
    record = msgspec.structs.replace(record, failures=found.failed)
    too_many = found.slots > 0 and found.failed / found.slots > rules.max_failure_ratio
    if too_many and rules.failure_action != "continue":
        failures = f"{found.failed} of {found.slots} failed within {rules.monitor_seconds:g} s of starting"
        if rules.failure_action == "rollback" and not back and previous:
            return Outcome(msgspec.structs.replace(record, message=failures), moving=False, roll_back=True)
        said = f"rollback paused: {failures}" if back else f"update paused: {failures}"
        if rules.failure_action == "rollback" and not back:
            said += "; there is no earlier version to go back to"
        return Outcome(_at(record, back, paused=True, message=said), moving=False)
    if app.spec.paused:
        return Outcome(_at(record, back, paused=True, message="paused, as asked for"), moving=False)
    if record.state in (PAUSED, ROLLBACK_PAUSED):
        record = _at(record, back, paused=False, message="rollback in progress" if back else "update in progress")
    if not found.settled:
        return Outcome(record)
    if found.watched_for > 0:
        return Outcome(record, wait=found.watched_for)
    done = msgspec.structs.replace(
        record,
        state=ROLLBACK_COMPLETED if back else COMPLETED,
        completed_at=timestamps.format_time(now),
        message="rollback completed" if back else "update completed",
    )
    return Outcome(done)


def _at(record: UpdateRecord, back: bool, *, paused: bool, message: str) -> UpdateRecord:
    words = {(True, True): ROLLBACK_PAUSED, (True, False): ROLLBACK_STARTED, (False, True): PAUSED}
    return msgspec.structs.replace(record, state=words.get((back, paused), UPDATING), message=message)
