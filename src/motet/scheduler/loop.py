"""The scheduling loop: pending pods in, bindings and reasons out.

Changes in the tables only update the snapshot and wake the loop. Each turn takes everything that waits, groups equal
pods, places the groups highest priority first, and binds all in one batch; what arrives meanwhile is the next batch.
A pod counts on its node from the moment it is placed, and is put back if its binding fails.
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
from motet.kinds import node, persistentvolume, persistentvolumeclaim, pod, storageclass
from motet.scheduler.claims import SELECTED_NODE, Claims, Storage
from motet.scheduler.classes import Classes, PodClass
from motet.scheduler.place import place
from motet.scheduler.snapshot import Snapshot
from motet.scheduler.views import ClaimView, PodView
from motet.store.document import Document

_log = logging.getLogger(__name__)

OUR_NAMES = frozenset({"default-scheduler", "motet"})
_RETRY_SOON = 0.2
_RETRY_EVENTUALLY = 30.0


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""


class _Status(msgspec.Struct, gc=False, frozen=True):
    phase: str = "Pending"


class _Placement(msgspec.Struct, gc=False, frozen=True):
    """The least that says where a pod is: decoded for every pod event."""

    spec: _Spec = _Spec()
    status: _Status = _Status()


@dataclass(slots=True)
class _Pending:
    pod: Document
    pod_class: PodClass
    order: int
    # Refused as things stood; waits for something to change.
    refused: bool = False


@dataclass(slots=True)
class _State:
    pending: dict[str, _Pending] = field(default_factory=dict)
    # Pods that count on a node: uid -> (node name, class).
    counted: dict[str, tuple[str, PodClass]] = field(default_factory=dict)
    # Placed, waiting for their claims to be bound on the node: uid -> pod.
    promised: dict[str, Document] = field(default_factory=dict)


class Scheduler:
    """One per cluster, in the elected manager."""

    def __init__(self, client: Client, recorder: EventRecorder, clock: Clock) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._snapshot = Snapshot()
        self._classes = Classes()
        self._state = _State()
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._retry: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Schedule until cancelled."""
        nodes = await self._client.table(node.KIND)
        pods = await self._client.table(pod.KIND)
        claims = await self._client.table(persistentvolumeclaim.KIND)
        storage = Storage(
            claims,
            await self._client.table(persistentvolume.KIND),
            await self._client.table(storageclass.KIND),
        )
        ends = [
            nodes.listen(self._node_changed),
            pods.listen(self._pod_changed),
            claims.listen(lambda old, new: self._claim_changed()),
            storage.volumes.listen(lambda old, new: self._claim_changed()),
            storage.classes.listen(lambda old, new: self._claim_changed()),
        ]
        try:
            for document in nodes:
                self._node_changed(None, document)
            for document in pods:
                self._pod_changed(None, document)
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
            if known is None or known[0] != placement.spec.node_name:
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
        if spec.scheduler_name not in OUR_NAMES or spec.scheduling_gates:
            self._state.pending.pop(document.meta.uid, None)
            return
        known = self._state.pending.get(document.meta.uid)
        pod_class = self._classes.of(document)
        if known is not None and known.pod_class is pod_class:
            known.pod = document
            return
        order = known.order if known is not None else next(self._order)
        self._state.pending[document.meta.uid] = _Pending(document, pod_class, order)
        self._wake.set()

    def _count(self, uid: str, node_name: str, pod_class: PodClass) -> None:
        self._state.counted[uid] = (node_name, pod_class)
        self._snapshot.add(node_name, pod_class)

    def _forget(self, uid: str) -> None:
        self._state.pending.pop(uid, None)
        self._state.promised.pop(uid, None)
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
        for waiting in self._state.pending.values():
            waiting.refused = False
        self._wake.set()

    # One turn

    async def _turn(self, storage: Storage) -> None:
        ready = [waiting for waiting in self._state.pending.values() if not waiting.refused]
        groups: dict[PodClass, list[_Pending]] = {}
        for waiting in sorted(ready, key=lambda item: (-item.pod_class.priority, item.order)):
            groups.setdefault(waiting.pod_class, []).append(waiting)
        bindings: list[tuple[Document, str, PodClass]] = []
        refusals: list[tuple[Document, str]] = []
        for pod_class, group in groups.items():
            claims = storage.of(pod_class)
            placed, reason = self._place(pod_class, group, claims)
            for waiting in group[len(placed) :]:
                waiting.refused = True
                refusals.append((waiting.pod, reason))
            for waiting, node_name in zip(group, placed, strict=False):
                uid = waiting.pod.meta.uid
                self._state.pending.pop(uid, None)
                self._state.counted[uid] = (node_name, pod_class)
                if claims.unbound:
                    self._state.promised[uid] = waiting.pod
                    await self._promise(waiting.pod, claims.unbound, node_name)
                else:
                    bindings.append((waiting.pod, node_name, pod_class))
        bindings.extend(self._kept_promises(storage))
        if refusals:
            self._try_again(_RETRY_EVENTUALLY)
        await self._bind(bindings)
        for document, reason in refusals:
            await self._explain(document, reason)

    def _place(self, pod_class: PodClass, group: list[_Pending], claims: Claims) -> tuple[list[str], str]:
        """Node names for the first pods of the group, and why the rest have none."""
        if pod_class.unsupported:
            return [], f"{', '.join(pod_class.unsupported)}: required terms are not supported yet"
        if claims.problem:
            return [], f"0/{len(self._snapshot)} nodes are available: {claims.problem}."
        # Pods that share a claim which is not bound yet must follow the first of them.
        count = 1 if claims.unbound else len(group)
        batch = place(self._snapshot, pod_class, count, claims.filters)
        placed = list(batch.nodes)
        if claims.unbound and placed and len(group) > 1:
            self._try_again(_RETRY_SOON)
            return placed, f"0/{len(self._snapshot)} nodes are available: waiting for a shared volume to be bound."
        return placed, str(batch.refusal) if batch.refusal is not None else ""

    async def _promise(self, document: Document, claims: Sequence[Document], node_name: str) -> None:
        """Tell the provisioner where the pod's claims are wanted."""
        for claim in claims:
            if (claim.meta.annotations or {}).get(SELECTED_NODE) == node_name:
                continue
            annotation = {"metadata": {"annotations": {SELECTED_NODE: node_name}}}
            try:
                await self._client.patch(persistentvolumeclaim.KIND, claim.name, annotation, claim.namespace)
            except ApiError as error:
                _log.warning("claim %s/%s: %s", claim.namespace, claim.name, error)
                self._put_back(document)
                return

    def _kept_promises(self, storage: Storage) -> list[tuple[Document, str, PodClass]]:
        """Placed pods whose claims are all bound now. A promise taken back puts the pod back into the queue."""
        kept = []
        for uid, document in list(self._state.promised.items()):
            node_name, pod_class = self._state.counted[uid]
            found = [storage.claims.get(name, pod_class.namespace) for name in pod_class.claims]
            if any(claim is None for claim in found):
                self._put_back(document)
            elif all(claim is not None and claim.view(ClaimView).status.phase == "Bound" for claim in found):
                del self._state.promised[uid]
                kept.append((document, node_name, pod_class))
        return kept

    async def _bind(self, bindings: list[tuple[Document, str, PodClass]]) -> None:
        if not bindings:
            return
        answers = await self._client.bind(
            (document.namespace, document.name, document.meta.uid, node_name) for document, node_name, _ in bindings
        )
        for (document, node_name, _), answer in zip(bindings, answers, strict=True):
            if answer is None:
                message = f"Successfully assigned {document.namespace}/{document.name} to {node_name}"
                self._recorder.event(_about(document), NORMAL, "Scheduled", message)
            elif isinstance(answer, NotFound):
                self._forget(document.meta.uid)
            else:
                _log.warning("binding %s/%s to %s: %s", document.namespace, document.name, node_name, answer)
                self._put_back(document)

    def _put_back(self, document: Document) -> None:
        self._forget(document.meta.uid)
        waiting = _Pending(document, self._classes.of(document), next(self._order), refused=True)
        self._state.pending[document.meta.uid] = waiting
        self._try_again(_RETRY_SOON)

    async def _explain(self, document: Document, reason: str) -> None:
        """Say on the pod itself, and as an event, why it waits; once per reason."""
        if document.meta.uid not in self._state.pending:
            return
        conditions = document.view(PodView).status.conditions or ()
        if any(item.type == "PodScheduled" and item.message == reason for item in conditions):
            return
        self._recorder.event(_about(document), WARNING, "FailedScheduling", reason)
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": reason,
            "lastTransitionTime": format_time(self._clock.now()),
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
        except NotFound:
            self._forget(document.meta.uid)
        except ApiError as error:
            _log.warning("pod %s/%s: %s", document.namespace, document.name, error)


def _about(document: Document) -> About:
    return About.document(document, "v1", "Pod")
