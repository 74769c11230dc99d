"""Pods that still wait to be counted by a Job that will not count them: it is gone, or has ended, or has let go of them.

Without this, the finalizer that keeps a pod until it is counted would keep it for ever.
"""

from __future__ import annotations

from collections.abc import Iterable

from motet.base.clock import Clock
from motet.client.interface import Client
from motet.controllers.job import release
from motet.controllers.jobview import FINALIZER, MANAGER, JobPod, JobView
from motet.controllers.loop import Controller, ObjectKey
from motet.kinds import job as job_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document
from motet.store.table import Table


class JobTracking:
    """The loop over tracked pods that no job will count."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._jobs: Table
        self._pods: Table

    async def run(self) -> None:
        """Set pods free until cancelled."""
        self._jobs = await self._client.table(job_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        loop: Controller[ObjectKey] = Controller("job-tracking", self.reconcile, clock=self._clock, parallelism=16)
        loop.watch(self._jobs, self._left_by)
        loop.watch(self._pods, self._stranded)
        await loop.run()

    def _left_by(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """The pods of a job that is no more, or has just ended."""
        document = new or old
        if document is None or (new is not None and new.view(JobView).finished() is None):
            return
        for pod in self._pods.owned_by(document.meta.uid):
            yield from self._stranded(None, pod)

    def _stranded(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        if new is not None and FINALIZER in (new.meta.finalizers or ()) and not self._will_be_counted(new):
            yield new.namespace, new.name

    def _will_be_counted(self, pod: Document) -> bool:
        owner = pod.meta.controller()
        job = self._jobs.get(owner.name, pod.namespace) if owner is not None else None
        if owner is None or job is None or job.meta.uid != owner.uid:
            return False
        view = job.view(JobView)
        return view.spec.managed_by not in (None, MANAGER) or view.finished() is None

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one pod."""
        namespace, name = key
        pod = self._pods.get(name, namespace)
        if pod is not None and not self._will_be_counted(pod):
            await release(self._client, [pod.view(JobPod)])
        return None
