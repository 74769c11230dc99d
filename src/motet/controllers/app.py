"""Apps, Motet's own kind: the loop that keeps a pod in every slot, as `placement` decides.

Replicated slots are numbered, so a pod that is replaced keeps its number (Swarm's task slots). A global App's slots are the nodes
its template may run on; the scheduler still decides by way of a node affinity to exactly that node, so resources are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import msgspec

from motet.base import names, selectors, timestamps
from motet.base.clock import Clock
from motet.base.errors import ApiError, NotFound, namespace_terminates
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import ownership, placement, podview
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key, owner_key
from motet.controllers.nodematch import Placing, untolerated
from motet.controllers.nodes import NodeView
from motet.controllers.placement import Update, Want
from motet.controllers.podview import Condition, PodView
from motet.controllers.templates import template_hash
from motet.kinds import app as app_kind
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.kinds.tasks import NODE_ANNOTATION, SLOT_LABEL, TEMPLATE_LABEL
from motet.store.document import Document, Meta
from motet.store.table import Table

_PACE = 0.1
_BATCH = 256


class _Replicated(msgspec.Struct, gc=False, frozen=True):
    replicas: int = 1


class _Global(msgspec.Struct, gc=False, frozen=True):
    pass


class _Mode(msgspec.Struct, gc=False, frozen=True, rename={"global_": "global"}):
    replicated: _Replicated | None = None
    global_: _Global | None = None


class _Update(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    parallelism: int = 1
    delay_seconds: float = 0
    order: str = "stop-first"


class _AppSpec(msgspec.Struct, gc=False, frozen=True):
    mode: _Mode = _Mode()
    update: _Update = _Update()
    template: dict[str, Any] = {}


class AppStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[Condition, ...] = ()
    selector: str = ""


class AppView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: _AppSpec = _AppSpec()
    status: AppStatus = AppStatus()


def slots_of(app: AppView, nodes: Iterable[NodeView]) -> dict[str, Want]:
    """The slots of an App: numbers when replicated, the nodes its template may run on when global."""
    if app.spec.mode.global_ is None:
        replicas = (app.spec.mode.replicated or _Replicated()).replicas
        return {str(number): Want.RUN for number in range(1, replicas + 1)}
    spec = msgspec.convert(app.spec.template.get("spec") or {}, Placing)
    slots = {}
    for node in nodes:
        want = _suits(spec, node)
        if want is not None:
            slots[node.metadata.name] = want
    return slots


def _suits(spec: Placing, node: NodeView) -> Want | None:
    if not spec.selects(node.metadata.name, node.metadata.labels or {}):
        return None
    if node.metadata.deletion_timestamp is not None:
        return None
    # NoExecute is the taint evictor's business: what it lets stay, stays.
    blocked = untolerated(node.spec.taints or (), spec.tolerations or (), "NoSchedule", "NoExecute")
    return Want.KEEP if blocked or node.spec.unschedulable else Want.RUN


def pod_of(
    app: Document, kind_reference: Mapping[str, Any], template: str, slot: str, *, on_node: bool
) -> dict[str, Any]:
    """The pod for one slot; a global App's is tied to its node."""
    given = app.decode()["spec"]["template"]
    metadata = given.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), app_kind.LABEL: app.name, TEMPLATE_LABEL: template}
    annotations = dict(metadata.get("annotations") or {})
    spec = given["spec"]
    if on_node:
        annotations[NODE_ANNOTATION] = slot
        spec = _tied_to(deepcopy(spec), slot)
        base = f"{app.name}-"
    else:
        labels[SLOT_LABEL] = slot
        base = f"{app.name}-{slot}-"
    made: dict[str, Any] = {
        "name": names.generate(base),
        "namespace": app.namespace,
        "labels": labels,
        "ownerReferences": [kind_reference],
    }
    if annotations:
        made["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": spec}


def _tied_to(spec: dict[str, Any], node: str) -> dict[str, Any]:
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    # The terms are alternatives: each is narrowed to the node.
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [
        {**term, "matchFields": [*(term.get("matchFields") or ()), field]} for term in terms
    ]
    return spec


def status_of(app: AppView, slots: int, pods: Sequence[PodView], template: str, now: datetime) -> AppStatus:
    """Counts over the active pods, and whether all that is wanted is there."""
    active = [pod for pod in pods if podview.is_active(pod)]
    ready = sum(podview.is_ready(pod) for pod in active)
    current = [pod for pod in pods if (pod.metadata.labels or {}).get(TEMPLATE_LABEL) == template]
    updated = sum(podview.is_active(pod) for pod in current)
    ended = len({placement.slot_of(pod) for pod in current if podview.has_done_its_work(pod)})
    enough = ready + ended >= slots
    done = updated == len(active) <= slots <= updated + ended and enough
    wanted = (
        ("Available", enough, "AllReady" if enough else "NotAllReady", f"{ready} of {slots} pods are ready"),
        (
            "Progressing",
            not done,
            "Updated" if done else "Updating",
            f"{updated} of {slots} pods are of the current template",
        ),
    )
    old = {condition.type: condition for condition in app.status.conditions}
    conditions = []
    for type, holds, reason, message in wanted:
        status = "True" if holds else "False"
        known = old.get(type)
        since = known.last_transition_time if known and known.status == status else timestamps.format_time(now)
        conditions.append(Condition(type, status, reason, message, since))
    return AppStatus(
        app.metadata.generation,
        len(active),
        updated,
        ready,
        ready,
        tuple(conditions),
        f"{app_kind.LABEL}={app.metadata.name}",
    )


class Apps:
    """The loop over Apps."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._apps: Table
        self._pods: Table
        self._nodes: Table

    async def run(self) -> None:
        """Keep every App until cancelled."""
        self._apps = await self._client.table(app_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        self._nodes = await self._client.table(node_kind.KIND)
        loop: Controller[ObjectKey] = Controller("app", self.reconcile, clock=self._clock, parallelism=8, pace=_PACE)
        loop.watch(self._apps, own_key)
        loop.watch(self._pods, owner_key("App"))
        loop.watch(self._nodes, self._global_apps)
        await loop.run()

    def _global_apps(self, old: Document | None, new: Document | None) -> list[ObjectKey]:
        """A node's coming, going, labels and taints concern the global Apps; its heartbeats do not."""
        before = _place(old) if old else None
        if new is not None and before == _place(new):
            return []
        return [(each.namespace, each.name) for each in self._apps if each.view(AppView).spec.mode.global_ is not None]

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one App."""
        namespace, name = key
        document = self._apps.get(name, namespace)
        if document is None:
            return None
        app = document.view(AppView)
        template = template_hash(app.spec.template)
        slots = slots_of(app, (node.view(NodeView) for node in self._nodes))
        failure, look_again = "", None
        if document.meta.deletion_timestamp is None:
            claims = self._claims(document)
            await ownership.settle(self._client, pod_kind.KIND, document, app_kind.KIND, claims)
            update = Update(
                app.spec.update.parallelism, app.spec.update.delay_seconds, app.spec.update.order == "start-first"
            )
            pods = [*claims.mine, *claims.adopt]
            plan = placement.decide(slots, pods, template, update, self._clock.now())
            look_again = plan.look_again
            failure = await self._apply(document, plan, template, on_node=app.spec.mode.global_ is not None)
        await self._write_status(document, slots, template)
        if failure:
            raise TryAgain(failure)
        return look_again

    def _claims(self, document: Document) -> ownership.Claims[PodView]:
        selector = selectors.from_map({app_kind.LABEL: document.name})
        found = {pod.name: pod for pod in self._pods.owned_by(document.meta.uid)}
        found |= {pod.name: pod for pod in self._pods.select(document.namespace, selector)}
        return ownership.claim(document.meta, selector, (pod.view(PodView) for pod in found.values()))

    async def _apply(self, app: Document, plan: placement.Plan, template: str, *, on_node: bool) -> str:
        about = About.document(app, app_kind.KIND.api_version, app_kind.KIND.kind)
        for start in range(0, len(plan.delete), _BATCH):
            await asyncio.gather(*(self._stop(about, pod) for pod in plan.delete[start : start + _BATCH]))
        reference = ownership.reference(app, app_kind.KIND)
        size, todo = 1, list(plan.create)
        while todo:
            batch, todo = todo[:size], todo[size:]
            bodies = [pod_of(app, reference, template, slot, on_node=on_node) for slot in batch]
            answers = await asyncio.gather(
                *(self._client.create(pod_kind.KIND, body, app.namespace) for body in bodies), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, ApiError) and not namespace_terminates(answer):
                    self._events.event(about, WARNING, "FailedCreate", f"Error creating: {answer.message}")
                    return answer.message
                if isinstance(answer, BaseException):
                    raise answer
                self._events.event(about, NORMAL, "SuccessfulCreate", f"Created pod: {answer.name}")
            size = min(size * 2, _BATCH)
        return ""

    async def _stop(self, about: About, pod: PodView) -> None:
        meta = pod.metadata
        with contextlib.suppress(NotFound):
            await self._client.delete(pod_kind.KIND, meta.name, meta.namespace, uid=meta.uid)
            self._events.event(about, NORMAL, "SuccessfulDelete", f"Deleted pod: {meta.name}")

    async def _write_status(self, document: Document, slots: Mapping[str, Want], template: str) -> None:
        current = self._apps.get(document.name, document.namespace)
        if current is None or current.meta.generation != document.meta.generation:
            return
        app = current.view(AppView)
        pods = [pod.view(PodView) for pod in self._pods.owned_by(current.meta.uid)]
        # A node that only keeps what it has is not missing a pod.
        filled = {placement.slot_of(pod) for pod in pods if podview.is_active(pod)}
        wanted = sum(want is Want.RUN or slot in filled for slot, want in slots.items())
        status = status_of(app, wanted, pods, template, self._clock.now())
        if status == app.status:
            return
        changed = current.decode()
        changed["status"] = msgspec.to_builtins(status)
        await self._client.update(app_kind.KIND, changed, subresource="status")


def _place(node: Document) -> tuple[Any, ...]:
    view = node.view(NodeView)
    return node.meta.labels, view.spec.taints, view.spec.unschedulable, node.meta.deletion_timestamp
