"""ReplicaSets: keep a number of identical pods.

`decide` is the whole policy: which pods are ours, how many to make, which to give up first. The loop applies it and writes the
status. Making many pods is the hot path of the whole control plane: the pod is built and encoded once per template, and
names are the only thing that differs.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from motet.base import names, selectors, timestamps
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.base.selectors import Selector
from motet.client.events import EventRecorder
from motet.client.interface import Client
from motet.controllers import ownership, podview
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key
from motet.controllers.ownedpods import OwnedPods
from motet.controllers.ownership import Claims
from motet.controllers.podview import PodView
from motet.controllers.podwriter import PodWriter
from motet.kinds import pod as pod_kind
from motet.kinds import replicaset as replicaset_kind
from motet.kinds.kind import Kind
from motet.kinds.schema import table
from motet.store.document import Document, Meta
from motet.store.table import Table

_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PACE = 0.1


class ReplicaSetSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    replicas: int = 1
    min_ready_seconds: int = 0
    selector: dict[str, Any] | None = None
    template: dict[str, Any] = {}


class ReplicaSetStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    terminating_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[podview.Condition, ...] = ()


class ReplicaSetView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now. `look_again` is in seconds: when the next ready pod becomes available."""

    create: int = 0
    delete: tuple[PodView, ...] = ()
    claims: Claims[PodView] = Claims((), (), ())
    status: ReplicaSetStatus = ReplicaSetStatus()
    look_again: float | None = None

    def acts(self) -> bool:
        return bool(self.create or self.delete or self.claims.adopt or self.claims.release)


def decide(
    rs: ReplicaSetView,
    selector: Selector,
    pods: Sequence[PodView],
    now: datetime,
    *,
    doubled: Callable[[str], int] = lambda node: 0,
    failure: str = "",
) -> Plan:
    """The next step for `rs`, given the pods it owns or could own by its `selector`.

    `doubled(node)` is the number of active pods of sibling sets there, for the ranking. `failure` is the message of the
    last attempt that went wrong, shown as the condition ReplicaFailure.
    """
    claims = ownership.claim(rs.metadata, selector, (pod for pod in pods if podview.is_active(pod)))
    active = claims.mine + claims.adopt
    create = 0
    delete: tuple[PodView, ...] = ()
    if rs.metadata.deletion_timestamp is None:
        difference = len(active) - rs.spec.replicas
        create = max(0, -difference)
        if difference > 0:
            delete = tuple(ranked(active, now, doubled, rs.spec.min_ready_seconds)[:difference])
    status, look_again = _status(rs, active, now, failure)
    status = msgspec.structs.replace(status, terminating_replicas=_terminating(rs, pods))
    return Plan(create, delete, claims, status, look_again)


def ranked(
    pods: Sequence[PodView], now: datetime, doubled: Callable[[str], int] = lambda node: 0, min_ready_seconds: int = 0
) -> list[PodView]:
    """Pods with the first to give up first.

    Unassigned before assigned, pending before running, not ready before ready, low deletion cost before high, on crowded
    nodes before lonely ones, young before old (in powers of two, so that nearly equal ages are a draw), restarted before
    steady (upstream's ActivePodsWithRanks). Sharper than upstream, what is ready but not yet available goes before what is
    available: a rollout counts on that.
    """
    crowd = Counter(pod.spec.node_name for pod in pods)

    def rank(pod: PodView) -> tuple[Any, ...]:
        node = pod.spec.node_name
        since = podview.ready_since(pod)
        wait = podview.available_in(pod, min_ready_seconds, now)
        created = pod.metadata.creation_timestamp
        return (
            bool(node),
            {"Pending": 0, "Unknown": 1}.get(pod.status.phase, 2),
            podview.is_ready(pod),
            wait is not None and wait <= 0,
            _deletion_cost(pod),
            -(crowd[node] + doubled(node)),
            _age(since, now) if since else -1,
            -podview.restarts(pod),
            _age(podview.instant(created), now) if created else -1,
            pod.metadata.uid,
        )

    return sorted(pods, key=rank)


def _deletion_cost(pod: PodView) -> int:
    try:
        return int((pod.metadata.annotations or {}).get(_DELETION_COST, "0"))
    except ValueError:
        return 0


def _age(since: datetime, now: datetime) -> int:
    return int(math.log2(max(1.0, (now - since).total_seconds())))


def _terminating(rs: ReplicaSetView, pods: Iterable[PodView]) -> int:
    """Pods of the set that have been told to go and have not ended."""
    leaving = (pod for pod in pods if pod.metadata.deletion_timestamp is not None and not podview.is_finished(pod))
    return sum((owner := pod.metadata.controller()) is not None and owner.uid == rs.metadata.uid for pod in leaving)


def _status(
    rs: ReplicaSetView, active: Sequence[PodView], now: datetime, failure: str
) -> tuple[ReplicaSetStatus, float | None]:
    wanted_labels = ((rs.spec.template.get("metadata") or {}).get("labels") or {}).items()
    labelled = ready = available = 0
    soonest: float | None = None
    last_labels: dict[str, str] | None = None
    last_fits = wanted_labels <= {}.items()
    for pod in active:
        # Pods of one template share their labels, so comparing them once is mostly enough.
        if pod.metadata.labels is not last_labels:
            last_labels = pod.metadata.labels
            last_fits = wanted_labels <= (last_labels or {}).items()
        labelled += last_fits
        wait = podview.available_in(pod, rs.spec.min_ready_seconds, now)
        if wait is None:
            continue
        ready += 1
        if wait <= 0:
            available += 1
        elif soonest is None or wait < soonest:
            soonest = wait
    status = ReplicaSetStatus(
        replicas=len(active),
        fully_labeled_replicas=labelled,
        ready_replicas=ready,
        available_replicas=available,
        observed_generation=rs.metadata.generation,
        conditions=_conditions(rs, now, failure),
    )
    return status, soonest


def _conditions(rs: ReplicaSetView, now: datetime, failure: str) -> tuple[podview.Condition, ...]:
    kept = [condition for condition in rs.status.conditions if condition.type != "ReplicaFailure"]
    if failure:
        reason, _, message = failure.partition(": ")
        old = next((condition for condition in rs.status.conditions if condition.type == "ReplicaFailure"), None)
        if old is not None and (old.status, old.reason) == ("True", reason):
            # Messages name the pod that could not be made, each time another: to write each would be a change to look at.
            kept.append(old)
        else:
            since = old.last_transition_time if old and old.status == "True" else timestamps.format_time(now)
            kept.append(podview.Condition("ReplicaFailure", "True", reason, message, since))
    return tuple(kept)


def pod_of(rs: Document, kind: Kind = replicaset_kind.KIND) -> dict[str, Any]:
    """The pod that `rs` makes, without its name."""
    document = rs.decode()
    template = document["spec"]["template"]
    metadata = template.get("metadata") or {}
    made: dict[str, Any] = {
        "generateName": f"{rs.name}-",
        "namespace": rs.namespace,
        "labels": metadata.get("labels") or {},
        "ownerReferences": [ownership.reference(rs, kind)],
    }
    for key in ("annotations", "finalizers"):
        if metadata.get(key):
            made[key] = metadata[key]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": template["spec"]}


def status_document(status: ReplicaSetStatus) -> dict[str, Any]:
    """As stored: `replicas` always, the rest only where there is something to say."""
    document = {key: value for key, value in msgspec.to_builtins(status).items() if value or key == "replicas"}
    return document


def selector_of(rs: ReplicaSetView) -> Selector:
    """A ReplicaSet's selector is a LabelSelector."""
    return selectors.from_document(rs.spec.selector)


class ReplicaSets:
    """The loop over ReplicaSets, or (with another `kind` and `selector`) over what is made like them."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        events: EventRecorder,
        kind: Kind = replicaset_kind.KIND,
        selector: Callable[[ReplicaSetView], Selector] = selector_of,
    ) -> None:
        self._client = client
        self._clock = clock
        self._kind = kind
        self._selector = selector
        # A ReplicationController has no place for them.
        self._tells_of_terminating = table.get(kind.schema).at("status", "terminatingReplicas") is not None
        self._writer = PodWriter(client, events, kind)
        self._sets: Table
        self._pods: Table
        self._owned: OwnedPods

    async def run(self) -> None:
        """Keep every ReplicaSet until cancelled."""
        self._sets = await self._client.table(self._kind)
        self._pods = await self._client.table(pod_kind.KIND)
        self._owned = OwnedPods(self._kind, self._sets, self._pods, self._selects)
        loop: Controller[ObjectKey] = Controller(
            self._kind.singular, self.reconcile, clock=self._clock, parallelism=8, pace=_PACE
        )
        loop.watch(self._sets, own_key)
        loop.watch(self._pods, self._owned.concerned)
        await loop.run()

    def _selects(self, rs: Document) -> Selector:
        return self._selector(rs.view(ReplicaSetView))

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one set: act if need be, then bring its status up to date."""
        namespace, name = key
        document = self._sets.get(name, namespace)
        if document is None:
            return None
        failure = ""
        plan = self._decide(document)
        if plan.acts():
            failure = await self._apply(document, plan)
            document = self._sets.get(name, namespace)
            if document is None:
                return None
            plan = self._decide(document, failure)
        await self._write_status(document, plan.status)
        if failure:
            raise TryAgain(failure)
        return plan.look_again

    def _decide(self, document: Document, failure: str = "") -> Plan:
        rs = document.view(ReplicaSetView)
        pods = [pod.view(PodView) for pod in self._owned.of(document)]
        now = self._clock.now()
        plan = decide(rs, self._selector(rs), pods, now, doubled=self._siblings(document), failure=failure)
        if self._tells_of_terminating:
            return plan
        return replace(plan, status=msgspec.structs.replace(plan.status, terminating_replicas=0))

    def _siblings(self, document: Document) -> Callable[[str], int]:
        """Active pods per node of the other sets with the same owner, counted only when asked for."""
        counted: Counter[str] | None = None

        def count(node: str) -> int:
            nonlocal counted
            if counted is None:
                counted = Counter()
                owner = document.meta.controller()
                for sibling in self._sets.owned_by(owner.uid) if owner else ():
                    if sibling.meta.uid != document.meta.uid:
                        pods = (pod.view(PodView) for pod in self._pods.owned_by(sibling.meta.uid))
                        counted.update(pod.spec.node_name for pod in pods if podview.is_active(pod))
            return counted[node]

        return count

    async def _apply(self, rs: Document, plan: Plan) -> str:
        """Carry the plan out; the reason and message of the first failure, or an empty string."""
        await ownership.settle(self._client, pod_kind.KIND, rs, self._kind, plan.claims)
        if not plan.create:
            return await self._writer.delete(rs, plan.delete)

        def wanted() -> bool:
            """Nobody wants something else meanwhile."""
            current = self._sets.get(rs.name, rs.namespace)
            return current is not None and current.meta.generation == rs.meta.generation

        return await self._writer.create(rs, self._new_pods(rs, plan.create), wanted=wanted)

    def _new_pods(self, rs: Document, count: int) -> Iterator[dict[str, Any]]:
        pod = pod_of(rs, self._kind)  # shared by all: the client copies what it is given
        for _ in range(count):
            yield {**pod, "metadata": {**pod["metadata"], "name": names.generate(pod["metadata"]["generateName"])}}

    async def _write_status(self, document: Document, status: ReplicaSetStatus) -> None:
        if document.view(ReplicaSetView).status == status:
            return
        changed = document.decode()
        changed["status"] = status_document(status)
        with contextlib.suppress(NotFound):  # deleted meanwhile
            await self._client.update(self._kind, changed, subresource="status")
