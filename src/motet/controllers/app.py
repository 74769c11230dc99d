"""Apps, Motet's own kind: the loop that keeps a pod in every slot, as `apps` decides.

Replicated slots are numbered, so a pod that is replaced keeps its number (Swarm's task slots). A global App's slots are the nodes
its template may run on; the scheduler still decides by way of a node affinity to exactly that node, so resources are counted.

How an update goes is written down before anything is done because of it, and a rollback is one write: the earlier specification
together with the mark that says so. So whoever goes on after a crash knows which of the two it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from motet.base import selectors
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client, PatchType
from motet.controllers import appdepends, apphistory, apppods, apps, appschedule, appslots, appstatus, ownership
from motet.controllers.appdepends import Dependants
from motet.controllers.apphistory import AppHistory
from motet.controllers.apps import Plan, Scene
from motet.controllers.apptasks import is_active, is_held
from motet.controllers.apptasks import version_of as task_version
from motet.controllers.appversion import put_back, version_of
from motet.controllers.appview import AppStatus, AppView, TaskPod, UpdateRecord
from motet.controllers.loop import Controller, ObjectKey, TryAgain, owner_key
from motet.controllers.nodes import NodeView
from motet.controllers.podwriter import PodWriter
from motet.controllers.revisions import RevisionView
from motet.controllers.revisionstore import RevisionStore
from motet.kinds import app as app_kind
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.kinds import schedules, tasks
from motet.store.document import Document
from motet.store.table import Table

_of_app = owner_key("App")
_PACE = 0.1
_BATCH = 256


@dataclass(frozen=True, slots=True)
class _Look:
    """One App as it was when it was looked at."""

    document: Document
    app: AppView
    scene: Scene
    history: AppHistory
    # Seconds until its next run is due, and what to tell of the schedule.
    due: float | None = None
    told: tuple[str, str] | None = None


class Apps:
    """The loop over Apps."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._writer = PodWriter(client, events, app_kind.KIND)
        self._revisions = RevisionStore(client, app_kind.KIND, tasks.TEMPLATE_LABEL)
        self._dependants = Dependants()
        self._apps: Table
        self._pods: Table
        self._nodes: Table

    async def run(self) -> None:
        """Keep every App until cancelled."""
        self._apps = await self._client.table(app_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        self._nodes = await self._client.table(node_kind.KIND)
        await self._revisions.open()
        loop: Controller[ObjectKey] = Controller("app", self.reconcile, clock=self._clock, parallelism=8, pace=_PACE)
        loop.watch(self._apps, self._changed)
        loop.watch(self._pods, self._pod_changed)
        loop.watch(self._revisions.table, owner_key("App"))
        loop.watch(self._nodes, self._bound_to_nodes)
        await loop.run()

    def _changed(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """An App, and those that wait for it."""
        document = new or old
        if document is None:
            return
        needed = new.view(AppView).spec.depends_on if new is not None else None
        self._dependants.set(document.namespace, document.name, [each.name for each in needed or ()])
        yield document.namespace, document.name
        yield from self._waiting_for(document.namespace, document.name)

    def _pod_changed(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        for namespace, name in _of_app(old, new):
            yield namespace, name
            yield from self._waiting_for(namespace, name)

    def _waiting_for(self, namespace: str, name: str) -> Iterable[ObjectKey]:
        for dependant in self._dependants.of(namespace, name):
            document = self._apps.get(dependant, namespace)
            if document is not None:
                yield namespace, dependant

    def _bound_to_nodes(self, old: Document | None, new: Document | None) -> list[ObjectKey]:
        """A node's coming, going, labels and taints concern the Apps that think in nodes; its heartbeats do not."""
        before = _place(old) if old else None
        if new is not None and before == _place(new):
            return []
        return [
            (each.namespace, each.name)
            for each in self._apps
            if (view := each.view(AppView)).everywhere or view.spec.placement.constraints
        ]

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one App."""
        namespace, name = key
        document = self._apps.get(name, namespace)
        if document is None or document.meta.deletion_timestamp is not None:
            await self._let_go(namespace, name)
            if document is None:
                return None
        look = await self._look(document)
        if document.meta.deletion_timestamp is not None:
            await self._write_status(look, look.app.status.update)
            return None
        plan = apps.decide(look.scene)
        if plan.roll_back and await self._roll_back(look, plan):
            return 0.0
        if plan.record != look.app.status.update or look.scene.schedule != look.app.status.schedule:
            # Whoever goes on after a crash knows what was begun.
            await self._write_status(look, plan.record)
            self._tell(look, plan.record)
        failure = await self._apply(look, plan)
        after = await self._write_status(look, plan.record)
        live = {task_version(pod) for pod in look.scene.tasks if is_active(pod)}
        limit = look.app.spec.revision_history_limit
        await self._revisions.clean(look.history.history, limit, live, apphistory.version_in)
        if failure:
            raise TryAgain(failure)
        return min((each for each in (plan.look_again, look.due) if each is not None), default=None) if after else 0.0

    async def _look(self, document: Document) -> _Look:
        app, spec = document.view(AppView), document.decode()["spec"]
        leaving = document.meta.deletion_timestamp is not None
        claims = self._claims(document)
        await ownership.settle(self._client, pod_kind.KIND, document, app_kind.KIND, claims)
        mine = self._revisions.table.owned_by(document.meta.uid)
        known = {each.name for each in mine}
        history = apphistory.decide(
            document.meta,
            ownership.reference(document, app_kind.KIND),
            spec,
            [each.view(RevisionView) for each in mine],
            taken=lambda name: name not in known and self._revisions.table.get(name, document.namespace) is not None,
        )
        if not leaving:
            await self._revisions.settle(document, history.history)
        version, now = version_of(spec), self._clock.now()
        pods = (*claims.mine, *claims.adopt)
        scene = Scene(
            app,
            version,
            appslots.slots_of(app, (node.view(NodeView) for node in self._nodes) if app.everywhere else ()),
            pods,
            now,
            _iteration(app.status, version) if app.is_job else 0,
            history.other_version,
            history.other_version,
            appslots.misplacement(app, self._node),
        )
        due, told = None, None
        if app.spec.schedule is not None:
            zone, busy = schedules.zone(app.spec.schedule.time_zone), appschedule.is_busy(app, version, pods)
            run = appschedule.decide(app, version, now, zone, busy=busy)
            scene, due, told = replace(scene, iteration=run.iteration, schedule=run.record), run.look_again, run.told
        gate = appdepends.decide(app, version, scene.iteration, lambda name: self._other(document.namespace, name))
        return _Look(document, app, replace(scene, gate=gate), history, due, told)

    def _other(self, namespace: str, name: str) -> tuple[AppView, Sequence[TaskPod]] | None:
        """An App that this one may wait for."""
        found = self._apps.get(name, namespace)
        if found is None or found.meta.deletion_timestamp is not None:
            return None
        return found.view(AppView), [pod.view(TaskPod) for pod in self._pods.owned_by(found.meta.uid)]

    def _node(self, name: str) -> NodeView | None:
        found = self._nodes.get(name)
        return None if found is None else found.view(NodeView)

    def _claims(self, document: Document) -> ownership.Claims[TaskPod]:
        selector = selectors.from_map({app_kind.LABEL: document.name})
        found = {pod.name: pod for pod in self._pods.owned_by(document.meta.uid)}
        found |= {pod.name: pod for pod in self._pods.select(document.namespace, selector)}
        return ownership.claim(document.meta, selector, (pod.view(TaskPod) for pod in found.values()))

    async def _let_go(self, namespace: str, name: str) -> None:
        """Hold back nothing of an App that is gone or going."""
        selector = selectors.from_map({app_kind.LABEL: name})
        found = [pod.view(TaskPod) for pod in self._pods.select(namespace, selector)]
        await self._release([pod for pod in found if is_held(pod)])

    async def _roll_back(self, look: _Look, plan: Plan) -> bool:
        """Make the App what it was before, and say so in the same write; False when there is nothing to go back to."""
        previous = look.history.previous
        if previous is None:
            return False
        changed = look.document.decode()
        changed["spec"] = put_back(changed["spec"], apphistory.kept_in(previous))
        reason = plan.record.message if plan.record is not None else ""
        annotations = changed["metadata"].setdefault("annotations", {})
        annotations[app_kind.ROLLBACK] = version_of(changed["spec"])
        annotations[app_kind.ROLLBACK_REASON] = f"{app_kind.BY_ITSELF}{reason}"
        await self._client.update(app_kind.KIND, changed)
        message = f"Rolling back to revision {previous.revision}: {reason}"
        self._events.event(_about(look.document), WARNING, "RollbackStarted", message)
        return True

    async def _apply(self, look: _Look, plan: Plan) -> str:
        document = look.document
        deletes = [*plan.delete]
        for pod in plan.stop:
            # A pod without a node has done nothing worth keeping, and nobody would tell of its end.
            if look.app.keeps_stopped and pod.spec.node_name:
                await self._mark(pod)
            deletes.append(pod)
        await self._forget(plan.forget)
        deleted = await self._writer.delete(document, deletes)
        reference = ownership.reference(document, app_kind.KIND)
        bodies = (
            apppods.pod_of(
                document,
                reference,
                new,
                look.scene.version,
                iteration=look.scene.iteration,
                node=self._node(new.slot) if look.app.everywhere else None,
            )
            for new in plan.create
        )
        return await self._writer.create(document, bodies, wanted=lambda: self._is(document)) or deleted

    async def _mark(self, pod: TaskPod) -> None:
        """Say that a pod is to stop and to be kept."""
        meta = pod.metadata
        patch = {
            "metadata": {
                "uid": meta.uid,
                "annotations": {tasks.DESIRED: tasks.SHUTDOWN},
                "finalizers": [tasks.FINALIZER],
            }
        }
        if meta.deletion_timestamp is not None:
            return
        with contextlib.suppress(NotFound):
            await self._client.patch(pod_kind.KIND, meta.name, patch, meta.namespace, patch_type=PatchType.STRATEGIC)

    async def _forget(self, pods: Sequence[TaskPod]) -> None:
        await self._release([pod for pod in pods if is_held(pod)])

        async def delete(pod: TaskPod) -> None:
            with contextlib.suppress(NotFound):
                await self._client.delete(
                    pod_kind.KIND, pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid
                )

        leaving = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        for start in range(0, len(leaving), _BATCH):
            await asyncio.gather(*(delete(pod) for pod in leaving[start : start + _BATCH]))

    async def _release(self, pods: Sequence[TaskPod]) -> None:
        patch = {"$deleteFromPrimitiveList/finalizers": [tasks.FINALIZER]}

        async def one(pod: TaskPod) -> None:
            meta = pod.metadata
            with contextlib.suppress(NotFound):
                await self._client.patch(
                    pod_kind.KIND,
                    meta.name,
                    {"metadata": {"uid": meta.uid, **patch}},
                    meta.namespace,
                    patch_type=PatchType.STRATEGIC,
                )

        for start in range(0, len(pods), _BATCH):
            await asyncio.gather(*(one(pod) for pod in pods[start : start + _BATCH]))

    def _is(self, document: Document) -> bool:
        """Nobody wants something else meanwhile."""
        current = self._apps.get(document.name, document.namespace)
        return current is not None and current.meta.generation == document.meta.generation

    def _tell(self, look: _Look, record: UpdateRecord | None) -> None:
        if look.told is not None and look.scene.schedule != look.app.status.schedule:
            kind = NORMAL if look.told[0] == "RunStarted" else WARNING
            self._events.event(_about(look.document), kind, *look.told)
        before = look.app.status.update
        if record is None or (before is not None and before.state == record.state and before.version == record.version):
            return
        kind = WARNING if record.state.endswith("paused") else NORMAL
        reason = "".join(word.capitalize() for word in record.state.split("_"))
        reason = reason if reason.startswith("Rollback") else f"Update{'Started' if reason == 'Updating' else reason}"
        self._events.event(_about(look.document), kind, reason, record.message)

    async def _write_status(self, look: _Look, record: UpdateRecord | None) -> bool:
        """Say how the App is; False when it has become another meanwhile."""
        document = look.document
        current = self._apps.get(document.name, document.namespace)
        if current is None or current.meta.uid != document.meta.uid:
            return True
        if current.meta.generation != document.meta.generation:
            return False
        pods = [pod.view(TaskPod) for pod in self._pods.owned_by(current.meta.uid)]
        app = current.view(AppView)
        scene = replace(look.scene, app=app, tasks=pods, now=self._clock.now())
        previous = look.history.previous
        names = appstatus.Revisions(look.history.history.name, previous.metadata.name if previous else "")
        status = appstatus.decide(scene, record, names)
        if status == app.status:
            return True
        changed = current.decode()
        changed["status"] = appstatus.document(status)
        await self._client.update(app_kind.KIND, changed, subresource="status")
        return True


def _iteration(status: AppStatus, version: str) -> int:
    """Which run of a job this is: another one whenever its version is another."""
    known = status.job.iteration if status.job is not None else 0
    return known if known and status.version == version else known + 1


def _about(document: Document) -> About:
    return About.document(document, app_kind.KIND.api_version, app_kind.KIND.kind)


def _place(node: Document) -> tuple[Any, ...]:
    view = node.view(NodeView)
    return node.meta.labels, view.spec.taints, view.spec.unschedulable, node.meta.deletion_timestamp
