"""CronJobs: the loop that carries out what `crons` decides."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from motet.base import timestamps
from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, ApiError, NotFound, namespace_terminates
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import crons, ownership
from motet.controllers.crons import ActiveJob, CronJobStatus, CronJobView, Plan
from motet.controllers.jobview import JobView
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key, owner_key
from motet.kinds import cronjob as cronjob_kind
from motet.kinds import job as job_kind
from motet.kinds import schedules
from motet.store.document import Document
from motet.store.table import Table

# On jobs: when they were due, by the clock of the cron job.
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def job_of(owner: Document, due: datetime, zone: tzinfo) -> dict[str, Any]:
    """The job that is due at `due`."""
    template = owner.decode()["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    made: dict[str, Any] = {
        "name": owner.view(CronJobView).job_name(due),
        "namespace": owner.namespace,
        "annotations": {**(metadata.get("annotations") or {}), SCHEDULED: _in_zone(due, zone)},
        "ownerReferences": [ownership.reference(owner, cronjob_kind.KIND)],
    }
    if metadata.get("labels"):
        made["labels"] = metadata["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": template["spec"]}


def _in_zone(due: datetime, zone: tzinfo) -> str:
    text = due.astimezone(zone).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")


class CronJobs:
    """The loop over CronJobs."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._crons: Table
        self._jobs: Table

    async def run(self) -> None:
        """Make jobs by the clock until cancelled."""
        self._crons = await self._client.table(cronjob_kind.KIND)
        self._jobs = await self._client.table(job_kind.KIND)
        loop: Controller[ObjectKey] = Controller("cronjob", self.reconcile, clock=self._clock, parallelism=5, pace=0.1)
        loop.watch(self._crons, own_key)
        loop.watch(self._jobs, owner_key(cronjob_kind.KIND.kind))
        await loop.run()

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one cron job."""
        namespace, name = key
        document = self._crons.get(name, namespace)
        if document is None:
            return None
        view = document.view(CronJobView)
        zone = schedules.zone(view.spec.time_zone)
        jobs = [
            job.view(JobView)
            for job in self._jobs.owned_by(document.meta.uid)
            if (owner := job.meta.controller()) and owner.uid == document.meta.uid
        ]
        plan = crons.decide(view, jobs, self._clock.now(), zone)
        for told in plan.events:
            self._tell(document, told.type, told.reason, told.message)
        status = await self._start(document, plan, zone or UTC)
        await self._write_status(document, status)
        for job in plan.surplus:
            await self._delete(document, job)
        return plan.look_again

    async def _start(self, document: Document, plan: Plan, zone: tzinfo) -> CronJobStatus:
        """Make the job that is due, if any; the status with it. Raises TryAgain."""
        if plan.due is None:
            return plan.status
        for job in plan.replace:
            await self._delete(document, job)
        body = job_of(document, plan.due, zone)
        try:
            made = await self._client.create(job_kind.KIND, body, document.namespace)
        except AlreadyExists:
            found = self._jobs.get(body["metadata"]["name"], document.namespace)
            owner = found.meta.controller() if found is not None else None
            if found is None or owner is None or owner.uid != document.meta.uid:
                return plan.status  # somebody else's, and its name is taken
            made = found  # ours, made just before we were interrupted
        except ApiError as error:
            if namespace_terminates(error):
                raise
            self._tell(document, WARNING, "FailedCreate", f"Error creating job: {error.message}")
            raise TryAgain(error.message) from error
        else:
            self._tell(document, NORMAL, "SuccessfulCreate", f"Created job {made.name}")
        active = plan.status.active
        if made.view(JobView).finished() is None:
            meta = made.meta
            reference = ActiveJob(meta.name, meta.namespace, meta.uid, resource_version=meta.resource_version)
            active = (*active, reference)
        last = timestamps.format_time(plan.due)
        return msgspec.structs.replace(plan.status, active=active, last_schedule_time=last)

    async def _delete(self, document: Document, job: JobView) -> None:
        meta = job.metadata
        with contextlib.suppress(NotFound):
            await self._client.delete(job_kind.KIND, meta.name, meta.namespace, uid=meta.uid, propagation="Background")
        self._tell(document, NORMAL, "SuccessfulDelete", f"Deleted job {meta.name}")

    def _tell(self, document: Document, type: str, reason: str, message: str) -> None:
        kind = cronjob_kind.KIND
        self._events.event(About.document(document, kind.api_version, kind.kind), type, reason, message)

    async def _write_status(self, document: Document, status: CronJobStatus) -> None:
        if document.view(CronJobView).status == status:
            return
        changed = document.decode()
        changed["status"] = {key: value for key, value in msgspec.to_builtins(status).items() if value}
        with contextlib.suppress(NotFound):
            await self._client.update(cronjob_kind.KIND, changed, subresource="status")
