"""DaemonSets: the loop that carries out what `daemons` decides, and keeps the revisions of their templates.

The scheduler places the pods (so that resources are counted), by way of a node affinity to exactly one node. A pod that has
ended is deleted and made again, ever more slowly while it keeps ending: 1 s, doubling, at most 15 minutes (upstream's numbers).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import msgspec

from motet.base import names, selectors
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.base.selectors import Selector
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import daemons, ownership, revisions
from motet.controllers.daemons import DaemonSetStatus, DaemonSetView, Fit, Scene
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key, owner_key
from motet.controllers.nodematch import Placing
from motet.controllers.nodes import NodeView
from motet.controllers.ownedpods import OwnedPods
from motet.controllers.podview import PodView
from motet.controllers.podwriter import PodWriter
from motet.controllers.revisions import REVISION_LABEL, History
from motet.controllers.revisionstore import RevisionStore
from motet.kinds import daemonset as daemonset_kind
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document, Meta
from motet.store.table import Table

GENERATION_LABEL = "pod-template-generation"
_PACE = 0.1
_FIRST_BACKOFF = 1.0
_LONGEST_BACKOFF = 900.0
_TAINTS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK_TAINT = ("node.kubernetes.io/network-unavailable", "NoSchedule")


class _Spec(msgspec.Struct, gc=False, frozen=True):
    spec: Placing = Placing()


def tolerations(template: dict[str, Any]) -> list[dict[str, str]]:
    """What every daemon tolerates beside what its template says: being on a node in trouble is its job."""
    on_host = (template.get("spec") or {}).get("hostNetwork") is True
    taints = (*_TAINTS, _NETWORK_TAINT) if on_host else _TAINTS
    return [{"key": key, "operator": "Exists", "effect": effect} for key, effect in taints]


def pod_of(ds: Document, revision: str) -> dict[str, Any]:
    """The pod that `ds` makes, without its name and its node."""
    document = ds.decode()
    template = document["spec"]["template"]
    metadata = template.get("metadata") or {}
    generation = str(daemonset_kind.template_generation(document))
    labels = {**(metadata.get("labels") or {}), REVISION_LABEL: revision, GENERATION_LABEL: generation}
    made: dict[str, Any] = {
        "generateName": f"{ds.name}-",
        "namespace": ds.namespace,
        "labels": labels,
        "ownerReferences": [ownership.reference(ds, daemonset_kind.KIND)],
    }
    for key in ("annotations", "finalizers"):
        if metadata.get(key):
            made[key] = metadata[key]
    spec = dict(template["spec"])
    own = [each for each in spec.get("tolerations") or () if each not in tolerations(template)]
    spec["tolerations"] = [*own, *tolerations(template)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": spec}


def tied_to(spec: dict[str, Any], node: str) -> dict[str, Any]:
    """`spec` for exactly one node, which has been found to suit: that replaces what was required of nodes."""
    affinity = deepcopy(spec.get("affinity") or {})
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"nodeSelectorTerms": [term]}
    affinity.setdefault("nodeAffinity", {})["requiredDuringSchedulingIgnoredDuringExecution"] = required
    return {**spec, "affinity": affinity}


def node_of(pod: Document) -> str:
    """The node a daemon pod is on or meant for."""
    placing = pod.view(_Spec).spec
    if placing.node_name:
        return placing.node_name
    required = placing.required()
    for term in required.node_selector_terms if required else ():
        for found in term.match_fields or ():
            if found.key == "metadata.name" and found.operator == "In" and found.values:
                return found.values[0]
    return ""


def hash_of(revision: revisions.RevisionView) -> str:
    """What pods of a daemon set's revision carry."""
    return (revision.metadata.labels or {}).get(REVISION_LABEL, revision.metadata.name)


class Backoff:
    """For how long ended pods stay, by daemon set and node. Forgotten a while after they stopped ending."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, int, str], tuple[float, float]] = {}  # (delay, since)

    def left(self, ds: Meta, node: str) -> float:
        """Seconds until an ended pod on `node` may be replaced."""
        delay, since = self._known.get((ds.uid, ds.generation, node), (0.0, 0.0))
        return max(0.0, since + delay - self._clock.monotonic())

    def failed(self, ds: Meta, node: str) -> None:
        """One was replaced: the next one waits longer."""
        now = self._clock.monotonic()
        self._known = {key: each for key, each in self._known.items() if now - each[1] < 2 * _LONGEST_BACKOFF}
        key = (ds.uid, ds.generation, node)
        delay = self._known[key][0] * 2 if key in self._known else _FIRST_BACKOFF
        self._known[key] = (min(delay, _LONGEST_BACKOFF), now)


class DaemonSets:
    """The loop over DaemonSets."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._writer = PodWriter(client, events, daemonset_kind.KIND)
        self._history = RevisionStore(client, daemonset_kind.KIND, REVISION_LABEL)
        self._backoff = Backoff(clock)
        self._sets: Table
        self._pods: Table
        self._nodes: Table
        self._owned: OwnedPods

    async def run(self) -> None:
        """Keep every DaemonSet until cancelled."""
        self._sets = await self._client.table(daemonset_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        self._nodes = await self._client.table(node_kind.KIND)
        await self._history.open()
        self._owned = OwnedPods(daemonset_kind.KIND, self._sets, self._pods, _selects)
        loop: Controller[ObjectKey] = Controller(
            "daemonset", self.reconcile, clock=self._clock, parallelism=4, pace=_PACE
        )
        loop.watch(self._sets, own_key)
        loop.watch(self._pods, self._owned.concerned)
        loop.watch(self._nodes, self._sets_of_node)
        loop.watch(self._history.table, owner_key(daemonset_kind.KIND.kind))
        await loop.run()

    def _sets_of_node(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """A change of a node concerns the sets to which it means something else now; heartbeats concern none."""
        before, after = (each.view(NodeView) if each else None for each in (old, new))
        if before and after and _place(before) == _place(after):
            return
        for document in self._sets:
            placing = _placing(document.view(DaemonSetView))
            if _fit(placing, before) is not _fit(placing, after):
                yield document.namespace, document.name

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one set."""
        namespace, name = key
        document = self._sets.get(name, namespace)
        if document is None:
            return None
        ds = document.view(DaemonSetView)
        await self._history.adopt(document, _selects(document))
        history = self._history.decide(document, ds.spec.template, ds.status.collision_count or 0)
        failure, look_again = "", None
        if document.meta.deletion_timestamp is None:
            await self._history.settle(document, history)
            await ownership.settle(self._client, pod_kind.KIND, document, daemonset_kind.KIND, self._claims(document))
            plan = daemons.decide(self._scene(document, history), partial(self._backoff.left, document.meta))
            look_again = plan.look_again
            failure = await self._apply(document, plan, history)
            live = {(pod.meta.labels or {}).get(REVISION_LABEL, "") for pod in self._pods.owned_by(document.meta.uid)}
            await self._history.clean(history, ds.spec.revision_history_limit, live, hash_of)
        await self._write_status(document, history)
        if failure:
            raise TryAgain(failure)
        return look_again

    def _claims(self, document: Document) -> ownership.Claims[PodView]:
        pods = [pod.view(PodView) for pod in self._owned.of(document)]
        return ownership.claim(document.meta, _selects(document), pods)

    def _scene(self, document: Document, history: History) -> Scene:
        ds = document.view(DaemonSetView)
        placing = _placing(ds)
        fits = {node.name: daemons.fit(placing, node.view(NodeView)) for node in self._nodes}
        hashes = {history.hash, *map(hash_of, history.same)}
        return Scene(ds, fits, self._by_node(document), hashes, self._clock.now())

    def _by_node(self, document: Document) -> dict[str, list[PodView]]:
        pods: dict[str, list[PodView]] = {}
        for pod in self._pods.owned_by(document.meta.uid):
            owner = pod.meta.controller()
            if owner is not None and owner.uid == document.meta.uid:
                pods.setdefault(node_of(pod), []).append(pod.view(PodView))
        return pods

    async def _apply(self, ds: Document, plan: daemons.Plan, history: History) -> str:
        about = About.document(ds, daemonset_kind.KIND.api_version, daemonset_kind.KIND.kind)
        for pod in plan.ended:
            node, phase = pod.spec.node_name, pod.status.phase.lower()
            message = f"Found {phase} daemon pod {ds.namespace}/{pod.metadata.name} on node {node}, will try to "
            if phase == "failed":
                self._events.event(about, WARNING, "FailedDaemonPod", f"{message}kill it")
            else:
                self._events.event(about, NORMAL, "SucceededDaemonPod", f"{message}delete it")
            self._backoff.failed(ds.meta, node)
        deleted = await self._writer.delete(ds, plan.delete)
        created = await self._writer.create(ds, self._new_pods(ds, plan.create, history))
        return created or deleted

    def _new_pods(self, ds: Document, nodes: Iterable[str], history: History) -> Iterator[dict[str, Any]]:
        pod = pod_of(ds, history.hash)
        for node in nodes:
            metadata = {**pod["metadata"], "name": names.generate(pod["metadata"]["generateName"])}
            yield {**pod, "metadata": metadata, "spec": tied_to(pod["spec"], node)}

    async def _write_status(self, document: Document, history: History) -> None:
        current = self._sets.get(document.name, document.namespace)
        if current is None or current.meta.generation != document.meta.generation:
            return
        status = daemons.status(self._scene(current, history), history.collisions)
        if status == current.view(DaemonSetView).status:
            return
        changed = current.decode()
        changed["status"] = status_document(status)
        with contextlib.suppress(NotFound):
            await self._client.update(daemonset_kind.KIND, changed, subresource="status")


_ALWAYS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def status_document(status: DaemonSetStatus) -> dict[str, Any]:
    """As stored: what is zero is left out unless the API requires it."""
    return {key: value for key, value in msgspec.to_builtins(status).items() if value or key in _ALWAYS}


def _selects(document: Document) -> Selector:
    return selectors.from_document(document.view(DaemonSetView).spec.selector)


def _placing(ds: DaemonSetView) -> Placing:
    return daemons.placing_of(ds.spec.template, tolerations(ds.spec.template))


def _fit(placing: Placing, node: NodeView | None) -> Fit | None:
    return daemons.fit(placing, node) if node else None


def _place(node: NodeView) -> tuple[Any, ...]:
    return node.metadata.labels, node.spec.taints
