"""Jobs: the loop that carries out what `jobs` decides."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from motet.base import names, selectors
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.base.selectors import Selector
from motet.client.events import About, EventRecorder
from motet.client.interface import Client, PatchType
from motet.controllers import jobs, ownership
from motet.controllers.jobs import NewPod, Plan, Scene
from motet.controllers.jobview import FAILURES, FINALIZER, IGNORED_FAILURES, INDEX, MANAGER, JobPod, JobStatus, JobView
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key
from motet.controllers.ownedpods import OwnedPods
from motet.controllers.podwriter import PodWriter
from motet.kinds import job as job_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document
from motet.store.table import Table

_PACE = 0.05
# A step's writes are the next step's news; no job needs more of them in a row.
_MOST_STEPS = 20
_LONGEST_BASE = 58
_ENVIRONMENT = "JOB_COMPLETION_INDEX"


def pod_of(job: Document, new: NewPod) -> dict[str, Any]:
    """The pod that `job` makes, for one index if it has some."""
    template = job.decode()["spec"]["template"]
    metadata = template.get("metadata") or {}
    labels, annotations = dict(metadata.get("labels") or {}), dict(metadata.get("annotations") or {})
    spec, base = template["spec"], f"{job.name}-"
    if new.index is not None:
        labels[INDEX] = annotations[INDEX] = str(new.index)
        spec = _indexed(spec, f"{job.name}-{new.index}")
        ending = f"-{new.index}-"
        base = f"{job.name[: _LONGEST_BASE - len(ending)]}{ending}"
    if new.failures is not None:
        annotations[FAILURES] = str(new.failures)
    if new.ignored:
        annotations[IGNORED_FAILURES] = str(new.ignored)
    made: dict[str, Any] = {
        "name": names.generate(base),
        "generateName": base,
        "namespace": job.namespace,
        "labels": labels,
        "finalizers": [*(metadata.get("finalizers") or ()), FINALIZER],
        "ownerReferences": [ownership.reference(job, job_kind.KIND)],
    }
    if annotations:
        made["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": spec}


def _indexed(spec: dict[str, Any], hostname: str) -> dict[str, Any]:
    """The specification with a host name and the index in every container's environment."""
    own = {"name": _ENVIRONMENT, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}}
    made = {**spec, "hostname": hostname}
    for key in ("initContainers", "containers"):
        if not spec.get(key):
            continue
        made[key] = deepcopy(spec[key])
        for container in made[key]:
            environment = container.setdefault("env", [])
            if all(each.get("name") != _ENVIRONMENT for each in environment):
                environment.append(own)
    return made


class Jobs:
    """The loop over Jobs."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._writer = PodWriter(client, events, job_kind.KIND)
        self._jobs: Table
        self._pods: Table
        self._owned: OwnedPods
        # By the job's uid: when pods of it failed, for the back-off.
        self._failures: dict[str, dict[str, datetime]] = {}

    async def run(self) -> None:
        """Keep every Job until cancelled."""
        self._jobs = await self._client.table(job_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        self._owned = OwnedPods(job_kind.KIND, self._jobs, self._pods, _selects)
        loop: Controller[ObjectKey] = Controller("job", self.reconcile, clock=self._clock, parallelism=8, pace=_PACE)
        loop.watch(self._jobs, self._changed)
        loop.watch(self._pods, self._owned.concerned)
        await loop.run()

    def _changed(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        if new is None and old is not None:
            self._failures.pop(old.meta.uid, None)
        return own_key(old, new)

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one job: step after step until there is nothing to do."""
        namespace, name = key
        for _ in range(_MOST_STEPS):
            document = self._jobs.get(name, namespace)
            if document is None or document.view(JobView).spec.managed_by not in (None, MANAGER):
                return None
            if document.view(JobView).finished() is not None:
                self._failures.pop(document.meta.uid, None)
                return None
            plan = jobs.decide(await self._scene(document))
            self._failures[document.meta.uid] = dict(plan.failures or {})
            await self._write_status(document, plan)
            if failure := await self._apply(document, plan):
                raise TryAgain(failure)
            if not plan.acts():
                return plan.look_again
        return 0.0

    async def _scene(self, document: Document) -> Scene:
        found = [pod.view(JobPod) for pod in self._owned.of(document)]
        claims = ownership.claim(document.meta, _selects(document), found)
        for pod in claims.adopt:
            await self._adopt(document, pod)
        await ownership.settle(self._client, pod_kind.KIND, document, job_kind.KIND, replace(claims, adopt=()))
        mine = [pod.view(JobPod) for pod in self._pods.owned_by(document.meta.uid) if _controls(document, pod)]
        known = self._failures.get(document.meta.uid, {})
        return Scene(document.view(JobView), mine, self._clock.now(), known)

    async def _adopt(self, document: Document, pod: JobPod) -> None:
        """Take a pod, and track it, in one write."""
        meta = pod.metadata
        owners = [msgspec.to_builtins(each) for each in meta.owner_references or ()]
        patch = {
            "metadata": {
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
                "ownerReferences": [*owners, ownership.reference(document, job_kind.KIND)],
                "finalizers": [*(meta.finalizers or ()), *([] if pod.tracked() else [FINALIZER])],
            }
        }
        await self._client.patch(pod_kind.KIND, meta.name, patch, meta.namespace)

    async def _apply(self, document: Document, plan: Plan) -> str:
        about = About.document(document, job_kind.KIND.api_version, job_kind.KIND.kind)
        for told in plan.events:
            self._events.event(about, told.type, told.reason, told.message)
        await release(self._client, [*plan.release, *plan.withdraw])
        deleted = await self._writer.delete(document, [*plan.delete, *plan.withdraw])
        created = await self._writer.create(
            document, _new_pods(document, plan.create), wanted=lambda: self._is(document)
        )
        return created or deleted

    def _is(self, document: Document) -> bool:
        """Nobody wants something else meanwhile."""
        current = self._jobs.get(document.name, document.namespace)
        return current is not None and current.meta.generation == document.meta.generation

    async def _write_status(self, document: Document, plan: Plan) -> None:
        if document.view(JobView).status == plan.status:
            return
        changed = document.decode()
        changed["status"] = status_document(plan.status)
        await self._client.update(job_kind.KIND, changed, subresource="status")


async def release(client: Client, pods: Sequence[JobPod]) -> None:
    """Take the finalizer off pods that have been counted or are not to be."""
    patch = {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}

    async def one(pod: JobPod) -> None:
        meta = pod.metadata
        with contextlib.suppress(NotFound):
            await client.patch(
                pod_kind.KIND,
                meta.name,
                {"metadata": {"uid": meta.uid, **patch}},
                meta.namespace,
                patch_type=PatchType.STRATEGIC,
            )

    await asyncio.gather(*(one(pod) for pod in pods if pod.tracked()))


def status_document(status: JobStatus) -> dict[str, Any]:
    """As stored: what is zero or empty is left out, but for what tells an answer from none."""
    document = {key: value for key, value in msgspec.to_builtins(status).items() if value}
    for key, value in (
        ("ready", status.ready),
        ("terminating", status.terminating),
        ("failedIndexes", status.failed_indexes),
    ):
        if value is not None:
            document[key] = value
    uncounted = msgspec.to_builtins(status.uncounted_terminated_pods) or {}
    document["uncountedTerminatedPods"] = {key: value for key, value in uncounted.items() if value}
    document["conditions"] = [
        {key: value for key, value in condition.items() if value}
        for condition in msgspec.to_builtins(status.conditions)
    ]
    return document if document["conditions"] else {key: document[key] for key in document if key != "conditions"}


def _new_pods(job: Document, wanted: Iterable[NewPod]) -> Iterator[dict[str, Any]]:
    return (pod_of(job, new) for new in wanted)


def _controls(job: Document, pod: Document) -> bool:
    owner = pod.meta.controller()
    return owner is not None and owner.uid == job.meta.uid


def _selects(job: Document) -> Selector:
    return selectors.from_document(job.view(JobView).spec.selector)
