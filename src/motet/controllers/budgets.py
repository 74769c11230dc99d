"""PodDisruptionBudgets: how many of the pods they cover may be evicted now (Kubernetes "Specifying a Disruption Budget").

`decide` is a function of the budget, its pods and how many pods their owners want. The API takes disruptions from the
status this loop writes; here is where they are given back, when the pod is gone or was not taken after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from motet.base import selectors, timestamps
from motet.base.clock import Clock
from motet.client.events import WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import podview
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.controllers.podview import PodView
from motet.kinds import pod as pod_kind
from motet.kinds import poddisruptionbudget as budget_kind
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json
from motet.kinds.poddisruptionbudget import (
    DISRUPTION_ALLOWED,
    INSUFFICIENT,
    SUFFICIENT,
    SYNC_FAILED,
    BudgetCondition,
    BudgetSpec,
    BudgetStatus,
    BudgetView,
)
from motet.store.document import Document, OwnerReference
from motet.store.table import Table

# An eviction that was let through and whose pod is still there after this did not happen.
DISRUPTION_SECONDS = 120.0
# Owners of owners that are followed, for instance a replica set's deployment.
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, and in how many seconds to look again (None: when something changes)."""

    status: BudgetStatus
    look_again: float | None = None


class Uncountable(Exception):
    """How many pods there should be cannot be told; the text says why."""


def decide(budget: BudgetView, pods: Iterable[PodView], wanted: int, now: datetime) -> Plan:
    """The status for these pods, of which their owners want `wanted` altogether (ignored where a number is asked for)."""
    pods = list(pods)
    expected, desired = _wished(budget.spec, len(pods), wanted)
    pending, look_again = _pending(budget.status.disrupted_pods, {pod.metadata.name: pod for pod in pods}, now)
    healthy = sum(
        podview.is_ready(pod) and pod.metadata.deletion_timestamp is None and pod.metadata.name not in pending
        for pod in pods
    )
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    reason = SUFFICIENT if allowed else INSUFFICIENT
    status = BudgetStatus(
        observed_generation=budget.metadata.generation,
        disrupted_pods=pending,
        disruptions_allowed=allowed,
        current_healthy=healthy,
        desired_healthy=desired,
        expected_pods=expected,
        conditions=_conditions(budget, "True" if allowed else "False", reason, "", now),
    )
    return Plan(status, look_again)


def failed(budget: BudgetView, why: str, now: datetime) -> BudgetStatus:
    """The status while the pods cannot be counted: nobody may be evicted."""
    conditions = _conditions(budget, "False", SYNC_FAILED, why, now)
    return msgspec.structs.replace(
        budget.status,
        disruptions_allowed=0,
        observed_generation=budget.metadata.generation,
        conditions=conditions,
    )


def counts_owners(spec: BudgetSpec) -> bool:
    """Whether the budget is a share of what the pods' owners want, rather than a number of pods that must be there."""
    return spec.max_unavailable is not None or isinstance(spec.min_available, str)


def _wished(spec: BudgetSpec, there: int, wanted: int) -> tuple[int, int]:
    """(pods there should be, healthy pods there must be)."""
    if spec.max_unavailable is not None:
        return wanted, max(wanted - _share(spec.max_unavailable, wanted), 0)
    if isinstance(spec.min_available, str):
        return wanted, _share(spec.min_available, wanted)
    return there, spec.min_available or 0


def _share(amount: int | str, of: int) -> int:
    """A number, or a percentage of `of`, rounded up."""
    return amount if isinstance(amount, int) else -(-int(amount.rstrip("%")) * of // 100)


def _pending(noted: dict[str, str], pods: dict[str, PodView], now: datetime) -> tuple[dict[str, str], float | None]:
    """Of the evictions let through, those whose pod has yet to be seen to go, and when the first of them lapses."""
    kept: dict[str, str] = {}
    look_again: float | None = None
    for name, since in noted.items():
        pod = pods.get(name)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            continue
        left = (podview.instant(since) + timedelta(seconds=DISRUPTION_SECONDS) - now).total_seconds()
        if left > 0:
            kept[name] = since
            look_again = left if look_again is None else min(look_again, left)
    return kept, look_again


def _conditions(
    budget: BudgetView, status: str, reason: str, message: str, now: datetime
) -> tuple[BudgetCondition, ...]:
    others = tuple(each for each in budget.status.conditions if each.type != DISRUPTION_ALLOWED)
    before = next((each for each in budget.status.conditions if each.type == DISRUPTION_ALLOWED), None)
    since = before.last_transition_time if before is not None and before.status == status else None
    condition = BudgetCondition(
        type=DISRUPTION_ALLOWED,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=since or timestamps.format_time(now),
        observed_generation=budget.metadata.generation,
    )
    return (*others, condition)


class DisruptionBudgets:
    """The loop over PodDisruptionBudgets."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder, catalogue: Catalogue) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._catalogue = catalogue
        self._budgets: Table
        self._pods: Table

    async def run(self) -> None:
        """Keep every budget's status until cancelled."""
        self._budgets = await self._client.table(budget_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        loop: Controller[ObjectKey] = Controller("disruption", self.reconcile, clock=self._clock, pace=0.05)
        loop.watch(self._budgets, own_key)
        loop.watch(self._pods, self._covering)
        for kind in self._catalogue:
            if kind.scale is not None and kind.projection is None:
                loop.watch(await self._client.table(kind), self._counting)
        await loop.run()

    def _covering(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """The budgets that a pod counts for, or did until this change."""
        pods = [each for each in (old, new) if each is not None]
        if not pods or not len(self._budgets):
            return
        for budget in self._budgets.select(pods[0].namespace):
            selector = selectors.from_document(budget.view(BudgetView).spec.selector)
            if any(selector.matches(pod.meta.labels) for pod in pods):
                yield budget.namespace, budget.name

    def _counting(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """The budgets whose share may have changed with an owner that was scaled."""
        if old is not None and new is not None and old.meta.generation == new.meta.generation:
            return
        owner = new or old
        if owner is None or not len(self._budgets):
            return
        for budget in self._budgets.select(owner.namespace):
            if counts_owners(budget.view(BudgetView).spec):
                yield budget.namespace, budget.name

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one budget."""
        namespace, name = key
        document = self._budgets.get(name, namespace)
        if document is None:
            return None
        budget = document.view(BudgetView)
        selector = selectors.from_document(budget.spec.selector)
        pods = [each for each in self._pods.select(namespace, selector) if not podview.is_finished(each.view(PodView))]
        look_again: float | None = None
        try:
            wanted = await self._wanted(pods) if counts_owners(budget.spec) else 0
            plan = decide(budget, (pod.view(PodView) for pod in pods), wanted, self._clock.now())
            status, look_again = plan.status, plan.look_again
        except Uncountable as error:
            about = About.document(document, "policy/v1", "PodDisruptionBudget")
            self._events.event(about, WARNING, "CalculateExpectedPodCountFailed", str(error))
            status = failed(budget, str(error), self._clock.now())
        if status != budget.status:
            changed = document.decode()
            changed["status"] = _status_document(status)
            await self._client.update(budget_kind.KIND, changed, subresource="status")
        return look_again

    async def _wanted(self, pods: Sequence[Document]) -> int:
        """How many pods the owners of `pods` want altogether. Raises Uncountable."""
        owners: dict[str, OwnerReference] = {}
        for pod in pods:
            owner = pod.meta.controller()
            if owner is None:
                raise Uncountable(
                    f"pod {pod.name} has no controller, so maxUnavailable and percentages cannot be worked out; "
                    "give the budget a number for minAvailable"
                )
            owners[owner.uid] = owner
        # Several replica sets of one deployment want what the deployment wants, once.
        scales = dict([await self._scale(owner, pods[0].namespace) for owner in owners.values()])
        return sum(scales.values())

    async def _scale(self, owner: OwnerReference, namespace: str) -> tuple[str, int]:
        """The topmost owner's uid, and how many pods it wants. Raises Uncountable."""
        for _ in range(_DEEPEST):
            kind = self._catalogue.by_kind(owner.api_version, owner.kind)
            if kind is None or kind.scale is None:
                raise Uncountable(f"{owner.kind} {owner.name} does not say how many pods it wants: it has no scale")
            document = (await self._client.table(kind)).get(owner.name, namespace)
            if document is None or document.meta.uid != owner.uid:
                raise Uncountable(f"{owner.kind} {owner.name} is not there")
            above = document.meta.controller()
            if above is None:
                return owner.uid, _replicas(document.decode(), kind.scale.spec_replicas)
            owner = above
        raise Uncountable(f"{owner.kind} {owner.name} has owners without end")


def _replicas(document: Json, path: str) -> int:
    found: Any = document
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, int) else 0


def _status_document(status: BudgetStatus) -> Json:
    """As stored: the counts are always there, the rest only when there is any."""
    document: Json = msgspec.to_builtins(status)
    for key in ("disruptedPods", "conditions"):
        if not document[key]:
            del document[key]
    return document
