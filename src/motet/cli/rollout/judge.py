"""How far a rollout is, as a function of the object alone (and, before an App's first version works, of its pods): pure.

The rules for Kubernetes' workloads are kubectl's (k8s.io/kubectl, polymorphichelpers: what `rollout status` waits for).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from motet.cli.apply import states
from motet.cli.rollout.targets import APP, DAEMONSET, DEPLOYMENT, Target
from motet.controllers.appview import AppView
from motet.kinds import app as app_kind
from motet.kinds.tasks import TEMPLATE_LABEL
from motet.store.document import Document, Meta


class Phase(StrEnum):
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"


# What `motet rollout status` ends with. 2 is wrong usage, as everywhere.
CODES = {Phase.WAITING: 1, Phase.DONE: 0, Phase.FAILED: 1, Phase.ROLLED_BACK: 3}


class Verdict(msgspec.Struct, frozen=True):
    """`told` is for people; `updated`, `available` and `wanted` count pods."""

    phase: Phase
    told: str
    updated: int = 0
    available: int = 0
    wanted: int = 0

    @property
    def over(self) -> bool:
        return self.phase is not Phase.WAITING


class _Condition(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _RollingUpdate(msgspec.Struct, gc=False, frozen=True):
    partition: int = 0


class _Strategy(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "RollingUpdate"
    rolling_update: _RollingUpdate | None = None


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    replicas: int = 1
    update_strategy: _Strategy = _Strategy()


class _Status(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    desired_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    conditions: tuple[_Condition, ...] | None = None


class _Workload(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: _Spec = _Spec()
    status: _Status = _Status()


def judge(target: Target, document: Document, pods: Iterable[Document], now: datetime) -> Verdict:
    """`pods` are those of an App, of any version; of the other kinds nothing is read but the object."""
    if target.kind is APP:
        return _app(document, pods, now)
    seen = document.view(_Workload)
    if seen.status.observed_generation < seen.metadata.generation:
        return Verdict(Phase.WAITING, "waits for the change to be seen")
    if target.kind is DEPLOYMENT:
        return _deployment(seen)
    if seen.spec.update_strategy.type != "RollingUpdate":
        return Verdict(Phase.FAILED, f"its updateStrategy is {seen.spec.update_strategy.type}, so nothing rolls out")
    return _daemon_set(seen.status) if target.kind is DAEMONSET else _stateful_set(seen)


def _counted(updated: int, available: int, wanted: int, total: int) -> Verdict:
    """How far it is by numbers alone."""
    if updated < wanted:
        phase, told = Phase.WAITING, f"{updated} of {wanted} pods are of the new version"
    elif total > updated:
        phase, told = Phase.WAITING, f"{total - updated} pods of before have not gone yet"
    elif available < updated:
        phase, told = Phase.WAITING, f"{available} of {updated} pods of the new version are available"
    else:
        phase, told = Phase.DONE, f"is rolled out: {available} of {wanted} pods"
    return Verdict(phase, told, updated, available, wanted)


def _deployment(seen: _Workload) -> Verdict:
    status = seen.status
    found = _counted(status.updated_replicas, status.available_replicas, seen.spec.replicas, status.replicas)
    for condition in status.conditions or ():
        if condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded" and not found.over:
            told = f"exceeded its progress deadline: {found.told}"
            return msgspec.structs.replace(found, phase=Phase.FAILED, told=told)
    return found


def _stateful_set(seen: _Workload) -> Verdict:
    status, rolling = seen.status, seen.spec.update_strategy.rolling_update
    partition = rolling.partition if rolling is not None else 0
    wanted = max(0, seen.spec.replicas - partition)
    if not partition and status.update_revision != status.current_revision:
        told = f"{status.updated_replicas} of {seen.spec.replicas} pods are of revision {status.update_revision}"
        return Verdict(Phase.WAITING, told, status.updated_replicas, status.ready_replicas, seen.spec.replicas)
    if status.ready_replicas < seen.spec.replicas:
        told = f"{status.ready_replicas} of {seen.spec.replicas} pods are ready"
        return Verdict(Phase.WAITING, told, status.updated_replicas, status.ready_replicas, seen.spec.replicas)
    updated = status.updated_replicas if partition else status.ready_replicas
    if updated < wanted:
        told = f"{updated} of {wanted} pods from number {partition} on are of the new version"
        return Verdict(Phase.WAITING, told, updated, status.ready_replicas, wanted)
    return Verdict(Phase.DONE, f"is rolled out: {updated} of {wanted} pods", updated, status.ready_replicas, wanted)


def _daemon_set(status: _Status) -> Verdict:
    wanted, updated = status.desired_number_scheduled, status.updated_number_scheduled
    return _counted(updated, status.number_available, wanted, updated)


def _app(document: Document, pods: Iterable[Document], now: datetime) -> Verdict:
    app = document.view(AppView)
    status, wanted = app.status, app.status.desired_replicas

    def verdict(phase: Phase, told: str) -> Verdict:
        return Verdict(phase, told, status.updated_replicas, status.available_replicas, wanted)

    if status.observed_generation < app.metadata.generation:
        return verdict(Phase.WAITING, "waits for the change to be seen")
    waiting = next(
        (each for each in status.conditions if each.type == "DependenciesMet" and each.status == "False"), None
    )
    if waiting is not None:
        return verdict(Phase.WAITING, f"waits: {waiting.message}")
    if app.is_job:
        return _job(app, wanted)
    record = status.update if status.update is not None and status.update.version == status.version else None
    state, message = (record.state, record.message) if record is not None else ("", "")
    far = f"{status.updated_replicas} of {wanted} pods are of the present version, {status.ready_replicas} ready"
    if app.spec.paused and state not in ("completed", "rollback_completed", ""):
        return verdict(Phase.WAITING, f"paused, as asked for: {far}; see: motet rollout resume {app.metadata.name}")
    if state in ("paused", "rollback_paused"):
        return verdict(Phase.FAILED, message)
    if state in ("updating", "rollback_started"):
        return verdict(Phase.WAITING, f"{'rolling back: ' if state == 'rollback_started' else ''}{far}")
    settled = any(each.type == "Progressing" and each.status == "False" for each in status.conditions)
    if not settled:
        mine = [pod for pod in pods if (pod.meta.labels or {}).get(TEMPLATE_LABEL) == status.version]
        if not state and (failure := states.judge(document, mine, now).failure) is not None:
            return verdict(Phase.FAILED, f"{failure.reason}: {failure.message}")
        return verdict(Phase.WAITING, far)
    reason = (app.metadata.annotations or {}).get(app_kind.ROLLBACK_REASON, "")
    if state == "rollback_completed" and reason.startswith(app_kind.BY_ITSELF):
        return verdict(Phase.ROLLED_BACK, f"went back to {status.current_revision}: {reason}")
    return verdict(Phase.DONE, f"is rolled out: {status.ready_replicas} of {wanted} pods")


def _job(app: AppView, wanted: int) -> Verdict:
    if app.status.schedule is not None and not (app.status.job and app.status.job.iteration):
        return Verdict(Phase.DONE, f"runs first at {app.status.schedule.next_run_time or 'no time'}", wanted=wanted)
    job, conditions = app.status.job, {each.type: each for each in app.status.conditions}
    completed, active = (job.completed, job.active) if job is not None else (0, 0)
    verdict = Verdict(Phase.WAITING, f"{completed} of {wanted} have completed, {active} run", completed, active, wanted)
    for type, phase in (("Failed", Phase.FAILED), ("Complete", Phase.DONE)):
        if type in conditions and conditions[type].status == "True":
            return msgspec.structs.replace(verdict, phase=phase, told=conditions[type].message)
    return verdict
