"""Finished Jobs that say for how long they want to be kept (`ttlSecondsAfterFinished`), deleted when that is over."""

from __future__ import annotations

import contextlib
from datetime import datetime

from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers import podview
from motet.controllers.jobview import JobView
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.kinds import job as job_kind
from motet.store.table import Table


def due_in(job: JobView, now: datetime) -> float | None:
    """Seconds until `job` may go: 0 or less for now, None for never (or not yet known)."""
    ttl, end = job.spec.ttl_seconds_after_finished, job.finished()
    if ttl is None or end is None or end.last_transition_time is None or job.metadata.deletion_timestamp is not None:
        return None
    return ttl - (now - podview.instant(end.last_transition_time)).total_seconds()


class TtlAfterFinished:
    """The loop over Jobs that have ended."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._jobs: Table

    async def run(self) -> None:
        """Delete until cancelled."""
        self._jobs = await self._client.table(job_kind.KIND)
        loop: Controller[ObjectKey] = Controller("ttl-after-finished", self.reconcile, clock=self._clock)
        loop.watch(self._jobs, own_key)
        await loop.run()

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one job."""
        namespace, name = key
        document = self._jobs.get(name, namespace)
        left = due_in(document.view(JobView), self._clock.now()) if document is not None else None
        if document is None or left is None or left > 0:
            return left
        with contextlib.suppress(NotFound):
            await self._client.delete(job_kind.KIND, name, namespace, uid=document.meta.uid, propagation="Foreground")
        return None
