"""Taint eviction: pods leave a node whose NoExecute taints they do not tolerate, at once or when their patience ends.

Any NoExecute taint counts, a person's as well as those of node health (Kubernetes "Taints and Tolerations"). Patience is the
shortest `tolerationSeconds` among the tolerations that match, counted from the taint's `timeAdded`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.events import NORMAL, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import podview
from motet.controllers.disruption import mark_disrupted
from motet.controllers.loop import Controller
from motet.controllers.nodematch import Toleration
from motet.controllers.nodes import NodeView, Taint
from motet.controllers.podview import PodView
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document, Meta
from motet.store.table import Table


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    tolerations: tuple[Toleration, ...] | None = None


class _PodView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: _Spec = _Spec()


def due_in(tolerations: Sequence[Toleration], taints: Iterable[Taint], since: datetime, now: datetime) -> float | None:
    """Seconds until a pod has to leave because of NoExecute `taints`: 0 or less for now, None for never.

    `since` is when a taint without a time of its own was first seen.
    """
    soonest: float | None = None
    for taint in taints:
        matching = [each for each in tolerations if each.tolerates(taint)]
        if not matching:
            return 0.0
        limits = [each.toleration_seconds for each in matching if each.toleration_seconds is not None]
        if not limits:
            continue
        added = podview.instant(taint.time_added) if taint.time_added else since
        left = max(0, min(limits)) - (now - added).total_seconds()
        soonest = left if soonest is None else min(soonest, left)
    return soonest


class TaintEviction:
    """The loop over nodes with NoExecute taints."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._nodes: Table
        self._pods: Table
        self._seen: dict[str, datetime] = {}  # node -> when it was first seen with NoExecute taints

    async def run(self) -> None:
        """Evict until cancelled."""
        self._nodes = await self._client.table(node_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        loop: Controller[str] = Controller("taint-eviction", self.reconcile, clock=self._clock, pace=0.1)
        loop.watch(
            self._nodes, lambda old, new: (new.name,) if new and (_evicting(new) or (old and _evicting(old))) else ()
        )
        loop.watch(self._pods, self._arrived)
        await loop.run()

    def _arrived(self, old: Document | None, new: Document | None) -> Iterable[str]:
        if new is None:
            return
        node = self._nodes.get(new.view(PodView).spec.node_name)
        if node is not None and _evicting(node):
            yield node.name

    async def reconcile(self, name: str) -> float | None:
        """Evict who is due on one node; come back for the next."""
        document = self._nodes.get(name)
        taints = _evicting(document) if document is not None else ()
        if not taints:
            self._seen.pop(name, None)
            return None
        now = self._clock.now()
        since = self._seen.setdefault(name, now)
        soonest: float | None = None
        due = []
        for pod in self._pods.by_field("spec.nodeName", name):
            if pod.meta.deletion_timestamp is not None:
                continue
            left = due_in(pod.view(_PodView).spec.tolerations or (), taints, since, now)
            if left is not None and left <= 0:
                due.append(pod)
            elif left is not None:
                soonest = left if soonest is None else min(soonest, left)
        await asyncio.gather(*(self._evict(pod) for pod in due))
        return soonest

    async def _evict(self, pod: Document) -> None:
        message = f"Marking for deletion Pod {pod.namespace}/{pod.name}"
        self._events.event(About.document(pod, "v1", "Pod"), NORMAL, "TaintManagerEviction", message)
        with contextlib.suppress(NotFound):
            why = "Taint manager: deleting due to NoExecute taint"
            await mark_disrupted(self._client, pod, "DeletionByTaintManager", why, self._clock.now())
            await self._client.delete(pod_kind.KIND, pod.name, pod.namespace, uid=pod.meta.uid)


def _evicting(node: Document) -> tuple[Taint, ...]:
    return tuple(taint for taint in node.view(NodeView).spec.taints or () if taint.effect == "NoExecute")
