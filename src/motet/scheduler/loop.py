"""The scheduling loop: pending pods in, bindings and reasons out.

Changes in the tables only update the snapshot and wake the loop. Each turn takes everything that waits, groups equal
pods, places the groups highest priority first, and binds all in one batch; what arrives meanwhile is the next batch.
A pod counts on its node from the moment it is placed, and is put back if its binding fails. Why a pod waits is written by a
second task, so that no pod that fits waits for words about those that do not.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from motet.base.clock import Clock
from motet.base.errors import ApiError, NotFound
from motet.base.timestamps import format_time
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client, PatchType
from motet.kinds import namespace, node, persistentvolumeclaim, pod
from motet.scheduler import filters
from motet.scheduler.claims import SELECTED_NODE, Claims, Storage, selected_node
from motet.scheduler.classes import Classes, PodClass
from motet.scheduler.eviction import Evictor
from motet.scheduler.place import place
from motet.scheduler.preemption import Eviction
from motet.scheduler.profiles import USUAL, Profiles
from motet.scheduler.reservations import Pending, Reservations
from motet.scheduler.snapshot import Snapshot
from motet.scheduler.views import PodView
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger(__name__)

_RETRY_SOON = 0.2
_RETRY_EVENTUALLY = 30.0
# Bindings of one group commit, and reasons written side by side.
_AT_A_TIME = 500
_TOLD_AT_A_TIME = 32


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""


class _Status(msgspec.Struct, gc=False, frozen=True):
    phase: str = "Pending"


class _Placement(msgspec.Struct, gc=False, frozen=True):
    """The least that says where a pod is: decoded for every pod event."""

    spec: _Spec = _Spec()
    status: _Status = _Status()


@dataclass(slots=True)
class _State:
    pending: dict[str, Pending] = field(default_factory=dict)
    # Pods that count on a node: uid -> (node name, class).
    counted: dict[str, tuple[str, PodClass]] = field(default_factory=dict)
    # Placed, waiting for their claims to be bound on the node: uid -> pod.
    promised: dict[str, Document] = field(default_factory=dict)
    # What is still to be told to refused pods: uid -> reason.
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Decisions:
    """What one turn decided, before anything is written."""

    bindings: list[tuple[Document, str]] = field(default_factory=list)
    # Pods whose claims are to be promised to their node.
    promises: list[tuple[Document, str, Sequence[Document]]] = field(default_factory=list)
    # Claims promised so far in this turn: (namespace, name) -> node.
    claims: dict[tuple[str, str], str] = field(default_factory=dict)
    # Pods for which others have to make room.
    evictions: list[tuple[Document, Eviction]] = field(default_factory=list)


class Scheduler:
    """One per cluster, in the elected manager."""

    def __init__(self, client: Client, recorder: EventRecorder, clock: Clock, known: Profiles = USUAL) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._snapshot = Snapshot()
        self._classes = Classes(known)
        self._state = _State()
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._pods: Table
        self._evictor: Evictor
        self._retry: asyncio.TimerHandle | None = None
        # Some pod was refused that wants to be near, or level with, others.
        self._lonely = False

    async def run(self) -> None:
        """Schedule until cancelled. To be called once."""
        self._evictor = await Evictor.over(
            self._client, self._recorder, self._clock, self._snapshot, self._state.counted
        )
        nodes = await self._client.table(node.KIND)
        pods = self._pods = await self._client.table(pod.KIND)
        namespaces = await self._client.table(namespace.KIND)
        storage = await Storage.over(self._client)
        ends = [
            nodes.listen(self._node_changed),
            pods.listen(self._pod_changed),
            namespaces.listen(self._namespace_changed),
            *(each.listen(lambda old, new: self._claim_changed()) for each in storage.tables),
        ]
        try:
            for document in namespaces:
                self._namespace_changed(None, document)
            for document in nodes:
                self._node_changed(None, document)
            for document in pods:
                self._pod_changed(None, document)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell(), name="scheduler's reasons")
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    await self._turn(storage)
        finally:
            for end in ends:
                end()
            if self._retry is not None:
                self._retry.cancel()

    # What changes do

    def _node_changed(self, old: Document | None, new: Document | None) -> None:
        if new is None:
            assert old is not None
            self._snapshot.remove_node(old.name)
        elif self._snapshot.set_node(new):
            self._try_again(_RETRY_SOON)
            self._wake.set()

    def _namespace_changed(self, old: Document | None, new: Document | None) -> None:
        if new is None:
            assert old is not None
            self._snapshot.namespaces.pop(old.name, None)
        else:
            self._snapshot.namespaces[new.name] = new.meta.labels or {}

    def _pod_changed(self, old: Document | None, new: Document | None) -> None:
        if new is None:
            assert old is not None
            self._forget(old.meta.uid)
            return
        uid = new.meta.uid
        placement = new.view(_Placement)
        if placement.status.phase in ("Succeeded", "Failed"):
            self._forget(uid)
        elif placement.spec.node_name:
            self._state.pending.pop(uid, None)
            self._state.promised.pop(uid, None)
            known = self._state.counted.get(uid)
            if known is None or known[0] != placement.spec.node_name or _looks_different(old, new):
                self._forget(uid)
                self._count(uid, placement.spec.node_name, self._classes.of(new))
        elif new.meta.deletion_timestamp:
            self._forget(uid)
        elif uid not in self._state.counted:
            self._enqueue(new)

    def _claim_changed(self) -> None:
        self._try_again(_RETRY_SOON)
        self._wake.set()

    def _enqueue(self, document: Document) -> None:
        spec = document.view(PodView).spec
        known = self._state.pending.get(document.meta.uid)
        if spec.scheduler_name not in self._classes.profiles or spec.scheduling_gates:
            self._state.pending.pop(document.meta.uid, None)
            return
        pod_class = self._classes.of(document)
        if known is not None and known.pod_class is pod_class:
            known.pod = document
            return
        order = known.order if known is not None else next(self._order)
        self._state.pending[document.meta.uid] = Pending(document, pod_class, order)
        self._wake.set()

    def _count(self, uid: str, node_name: str, pod_class: PodClass) -> None:
        self._state.counted[uid] = (node_name, pod_class)
        self._snapshot.add(node_name, pod_class)
        self._company_came()

    def _company_came(self) -> None:
        """A pod is somewhere now: some may have waited to be near it."""
        if self._lonely:
            self._try_again(_RETRY_SOON)

    def _forget(self, uid: str) -> None:
        self._state.pending.pop(uid, None)
        self._state.promised.pop(uid, None)
        self._state.reasons.pop(uid, None)
        known = self._state.counted.pop(uid, None)
        if known is not None:
            self._snapshot.remove(*known)
            if self._state.pending:
                self._try_again(_RETRY_SOON)

    def _try_again(self, delay: float) -> None:
        """Look at refused pods again after `delay` seconds; an earlier appointment stands."""
        loop = asyncio.get_running_loop()
        if self._retry is not None:
            if self._retry.when() <= loop.time() + delay:
                return
            self._retry.cancel()
        self._retry = loop.call_later(delay, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self._lonely = False
        for waiting in self._state.pending.values():
            waiting.refused = False
        self._wake.set()

    # One turn

    async def _turn(self, storage: Storage) -> None:
        decisions = self._decide(storage)
        await asyncio.gather(*(self._promise(*promise) for promise in decisions.promises))
        for at in range(0, len(decisions.bindings), _AT_A_TIME):
            await self._bind(decisions.bindings[at : at + _AT_A_TIME], storage)
        await asyncio.gather(*(self._evictor.carry_out(pod, eviction) for pod, eviction in decisions.evictions))

    def _decide(self, storage: Storage) -> _Decisions:
        """Place what waits, all in one breath: nothing can change meanwhile."""
        decisions = _Decisions()
        # First what was placed earlier, so that a promise taken back is tried again in this turn.
        decisions.bindings.extend(self._kept_promises(storage))
        ready = [waiting for waiting in self._state.pending.values() if not waiting.refused]
        groups: dict[PodClass, list[Pending]] = {}
        for waiting in sorted(ready, key=lambda item: (-item.pod_class.priority, item.order)):
            groups.setdefault(waiting.pod_class, []).append(waiting)
        with Reservations(self._snapshot, self._state.pending.values()) as reservations:
            for pod_class, group in groups.items():
                reservations.hold_for_those_before(pod_class.priority)
                claims = storage.of(pod_class, decisions.claims, self._in_use)
                for waiting in reservations.claim(group):
                    self._try_nominated(decisions, waiting, claims)
                group = [waiting for waiting in group if waiting.pod.meta.uid in self._state.pending]
                placed, reason = self._place(pod_class, group, claims)
                for waiting, node_name in zip(group, placed, strict=False):
                    self._settle(decisions, waiting, node_name, claims)
                for waiting in group[len(placed) :]:
                    self._refuse(waiting, reason)
                    if not claims.problem:
                        self._make_room(decisions, reservations, waiting, claims)
        return decisions

    def _try_nominated(self, decisions: _Decisions, waiting: Pending, claims: Claims) -> None:
        """Put a pod on the node that others left for it, if it is free by now."""
        wanted = (*claims.filters, filters.chosen(waiting.nominated))
        if not claims.problem and place(self._snapshot, waiting.pod_class, 1, wanted).nodes:
            self._settle(decisions, waiting, waiting.nominated, claims)

    def _make_room(self, decisions: _Decisions, reservations: Reservations, waiting: Pending, claims: Claims) -> None:
        """Have pods of lower priority leave a node for one that was refused, unless some are leaving for it already."""
        pod_class = waiting.pod_class
        if not pod_class.preempts or not self._evictor.might_help(pod_class.priority):
            return
        if waiting.nominated and self._evictor.leaving(waiting.nominated, pod_class.priority):
            reservations.hold(waiting, waiting.nominated)
            return
        eviction = self._evictor.decide(pod_class, claims.filters)
        if eviction is not None:
            reservations.hold(waiting, eviction.node)
            decisions.evictions.append((waiting.pod, eviction))

    def _place(self, pod_class: PodClass, group: list[Pending], claims: Claims) -> tuple[list[str], str]:
        """Node names for the first pods of the group, and why the rest have none."""
        if pod_class.unsupported:
            return [], f"not supported yet: {', '.join(pod_class.unsupported)}"
        if claims.problem:
            return [], f"0/{len(self._snapshot)} nodes are available: {claims.problem}."
        # Pods that share a claim which is not bound yet must follow the first of them.
        alone = claims.unbound or claims.exclusive
        first = place(self._snapshot, pod_class, 1 if alone else len(group), claims.filters)
        placed, refusal = list(first.nodes), first.refusal
        if claims.exclusive and placed and len(group) > 1:
            refusal = place(self._snapshot, pod_class, 1, (*claims.filters, filters.in_use)).refusal
        elif claims.unbound and placed and len(group) > 1:
            rest = place(self._snapshot, pod_class, len(group) - 1, (*claims.filters, filters.chosen(placed[0])))
            placed, refusal = [*placed, *rest.nodes], rest.refusal
        return placed, str(refusal) if refusal is not None else ""

    def _in_use(self, namespace: str, claim: str) -> bool:
        """Whether a pod that has a node mounts the claim."""
        counted = self._state.counted.values()
        return any(claim in each.claims and each.namespace == namespace for _, each in counted)

    def _settle(self, decisions: _Decisions, waiting: Pending, node_name: str, claims: Claims) -> None:
        uid = waiting.pod.meta.uid
        del self._state.pending[uid]
        self._state.reasons.pop(uid, None)
        self._state.counted[uid] = (node_name, waiting.pod_class)
        self._company_came()
        if claims.unbound:
            self._state.promised[uid] = waiting.pod
            decisions.promises.append((waiting.pod, node_name, claims.unbound))
            decisions.claims.update(((claim.namespace, claim.name), node_name) for claim in claims.unbound)
        else:
            decisions.bindings.append((waiting.pod, node_name))

    def _refuse(self, waiting: Pending, reason: str) -> None:
        waiting.refused = True
        self._lonely |= bool(waiting.pod_class.wishes.near or waiting.pod_class.wishes.spread)
        self._state.reasons[waiting.pod.meta.uid] = reason
        self._news.set()
        self._try_again(_RETRY_EVENTUALLY)

    def _kept_promises(self, storage: Storage) -> list[tuple[Document, str]]:
        """Placed pods whose claims are all bound now. A promise taken back puts the pod back into the queue."""
        kept = []
        for uid, document in list(self._state.promised.items()):
            node_name, pod_class = self._state.counted[uid]
            if storage.all_bound(pod_class):
                del self._state.promised[uid]
                kept.append((document, node_name))
            elif node_name not in self._snapshot or not storage.kept(pod_class, node_name):
                self._put_back(document, refused=False)
        return kept

    # What a turn writes

    async def _promise(self, document: Document, node_name: str, claims: Sequence[Document]) -> None:
        """Tell the provisioner where the pod's claims are wanted."""
        for claim in claims:
            if selected_node(claim) == node_name:
                continue
            annotation = {"metadata": {"annotations": {SELECTED_NODE: node_name}}}
            try:
                await self._client.patch(persistentvolumeclaim.KIND, claim.name, annotation, claim.namespace)
            except ApiError as error:
                _log.warning("claim %s/%s: %s", claim.namespace, claim.name, error)
                self._put_back(document)
                return

    async def _bind(self, bindings: Sequence[tuple[Document, str]], storage: Storage) -> None:
        answers = await self._client.bind(
            (document.namespace, document.name, document.meta.uid, node_name) for document, node_name in bindings
        )
        for (document, node_name), answer in zip(bindings, answers, strict=True):
            if answer is None:
                message = f"Successfully assigned {document.namespace}/{document.name} to {node_name}"
                counted = self._state.counted.get(document.meta.uid)
                if counted is not None and (pinned := storage.pinned(counted[1])):
                    message += f": {pinned}"
                self._recorder.event(_about(document), NORMAL, "Scheduled", message)
            else:
                if not isinstance(answer, NotFound):
                    _log.warning("binding %s/%s to %s: %s", document.namespace, document.name, node_name, answer)
                self._put_back(document)

    def _put_back(self, document: Document, *, refused: bool = True) -> None:
        """Take a pod off the node it was placed on, and look at it as it is now, a little later when `refused`."""
        uid = document.meta.uid
        self._forget(uid)
        current = self._pods.get(document.name, document.namespace)
        if current is None or current.meta.uid != uid:
            return
        self._pod_changed(None, current)
        waiting = self._state.pending.get(uid)
        if waiting is not None and refused:
            waiting.refused = True
            self._try_again(_RETRY_SOON)

    async def _tell(self) -> None:
        """Write reasons as they come, the newest of each pod."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._state.reasons:
                some = list(itertools.islice(self._state.reasons.items(), _TOLD_AT_A_TIME))
                for uid, _ in some:
                    del self._state.reasons[uid]
                await asyncio.gather(*(self._explain(uid, reason) for uid, reason in some))

    async def _explain(self, uid: str, reason: str) -> None:
        """Say on the pod itself, and as an event, why it waits; once per reason."""
        waiting = self._state.pending.get(uid)
        if waiting is None:
            return
        document = waiting.pod
        conditions = document.view(PodView).status.conditions or ()
        known = next((item for item in conditions if item.type == "PodScheduled" and item.status == "False"), None)
        if known is not None and known.message == reason:
            return
        self._recorder.event(_about(document), WARNING, "FailedScheduling", reason)
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": reason,
            "lastTransitionTime": (known and known.last_transition_time) or format_time(self._clock.now()),
        }
        try:
            await self._client.patch(
                pod.KIND,
                document.name,
                {"status": {"conditions": [condition]}},
                document.namespace,
                patch_type=PatchType.STRATEGIC,
                subresource="status",
            )
        except ApiError as error:
            _log.debug("pod %s/%s: %s", document.namespace, document.name, error)


def _looks_different(old: Document | None, new: Document) -> bool:
    """Whether a pod that stays where it is counts as another one for those who want to be near it or far from it."""
    if old is None:
        return False
    leaves = old.meta.deletion_timestamp is None and new.meta.deletion_timestamp is not None
    return leaves or old.meta.labels != new.meta.labels


def _about(document: Document) -> About:
    return About.document(document, "v1", "Pod")
