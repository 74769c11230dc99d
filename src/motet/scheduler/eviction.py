"""Carrying out what `preemption` decides: nominating the node, and having the victims leave it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence

from motet.base import selectors
from motet.base.clock import Clock
from motet.base.errors import ApiError, NotFound
from motet.client.events import NORMAL, About, EventRecorder
from motet.client.interface import Client, PatchType
from motet.kinds import pod as pods
from motet.kinds import poddisruptionbudget as budgets
from motet.kinds import podstatus
from motet.kinds.poddisruptionbudget import BudgetView
from motet.scheduler import preemption
from motet.scheduler.classes import PodClass
from motet.scheduler.filters import Filter
from motet.scheduler.preemption import Eviction, Occupant
from motet.scheduler.snapshot import Snapshot
from motet.scheduler.views import PodView
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger(__name__)

REASON = "PreemptionByScheduler"
# Evictions worked out in one turn; who comes later has another one a moment later.
_MOST_IN_A_TURN = 100


class Evictor:
    """Knows who runs where and what budgets allow. `counted` is uid -> (node, class) of every pod that takes room."""

    def __init__(
        self,
        client: Client,
        recorder: EventRecorder,
        clock: Clock,
        snapshot: Snapshot,
        counted: Mapping[str, tuple[str, PodClass]],
        tables: tuple[Table, Table],
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._snapshot = snapshot
        self._counted = counted
        self._pods, self._budgets = tables
        # Victims whose deletion is not seen yet.
        self._doomed: set[str] = set()

    @classmethod
    async def over(
        cls,
        client: Client,
        recorder: EventRecorder,
        clock: Clock,
        snapshot: Snapshot,
        counted: Mapping[str, tuple[str, PodClass]],
    ) -> Evictor:
        tables = await client.table(pods.KIND), await client.table(budgets.KIND)
        return cls(client, recorder, clock, snapshot, counted, tables)

    def might_help(self, priority: int) -> bool:
        """Whether any pod that takes room has a lower priority."""
        return self._snapshot.lowest_priority() < priority and len(self._doomed) < _MOST_IN_A_TURN

    def leaving(self, node: str, priority: int) -> bool:
        """Whether pods of lower priority are on their way out of a node."""
        return any(
            each.pod_class.priority < priority and (each.pod_class.leaving or each.uid in self._doomed)
            for each in self._on(node)
        )

    def decide(self, pod: PodClass, extra: Sequence[Filter]) -> Eviction | None:
        """Whom to evict for a pod of this class; the victims are taken note of."""
        allowances = {str(budget.key): budget.view(BudgetView).status.disruptions_allowed for budget in self._budgets}
        free = lambda node: (each for each in self._on(node) if each.uid not in self._doomed)  # noqa: E731
        eviction = preemption.decide(self._snapshot, pod, extra, free, allowances)
        if eviction is not None:
            self._doomed.update(victim.uid for victim in eviction.victims)
        return eviction

    def _on(self, node: str) -> Iterator[Occupant]:
        for document in self._pods.by_field("spec.nodeName", node):
            found = self._counted.get(document.meta.uid)
            if found is not None and found[0] == node:
                started = document.view(PodView).status.start_time or document.meta.creation_timestamp or ""
                yield Occupant(document.meta.uid, found[1], started, tuple(self._covering(document)))

    def _covering(self, pod: Document) -> Iterator[str]:
        if not len(self._budgets):
            return
        for budget in self._budgets.select(pod.namespace):
            if selectors.from_document(budget.view(BudgetView).spec.selector).matches(pod.meta.labels):
                yield str(budget.key)

    async def carry_out(self, pod: Document, eviction: Eviction) -> None:
        """Write the node on the pod, then delete the victims. What fails is decided again later."""
        try:
            nomination = {"status": {"nominatedNodeName": eviction.node}}
            await self._client.patch(pods.KIND, pod.name, nomination, pod.namespace, subresource="status")
            leaving = {victim.uid for victim in eviction.victims}
            victims = [each for each in self._pods.by_field("spec.nodeName", eviction.node) if each.meta.uid in leaving]
            await asyncio.gather(*(self._evict(victim, pod, eviction.node) for victim in victims))
        except ApiError as error:
            _log.warning("making room for %s/%s on %s: %s", pod.namespace, pod.name, eviction.node, error)
        finally:
            self._doomed.difference_update(victim.uid for victim in eviction.victims)

    async def _evict(self, victim: Document, pod: Document, node: str) -> None:
        told = victim.decode()
        message = "default-scheduler: preempting to accommodate a higher priority pod"
        podstatus.mark_disrupted(told, REASON, message, self._clock.now())
        conditions = {"status": {"conditions": told["status"]["conditions"][-1:]}}
        try:
            await self._client.patch(
                pods.KIND,
                victim.name,
                conditions,
                victim.namespace,
                patch_type=PatchType.STRATEGIC,
                subresource="status",
            )
            await self._client.delete(pods.KIND, victim.name, victim.namespace, uid=victim.meta.uid)
        except NotFound:
            return
        about = About.document(victim, "v1", "Pod")
        self._recorder.event(about, NORMAL, "Preempted", f"Preempted by pod {pod.meta.uid} on node {node}")
