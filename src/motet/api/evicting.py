"""Evictions: deleting a pod, unless a disruption budget says that too few would be left (Kubernetes "API-initiated
Eviction").

The budget's status is the ledger. An eviction takes one of the disruptions allowed and notes the pod, by compare-and-swap,
before the pod is deleted: two evictions at the same moment cannot both have the last one. The controller that keeps the
budgets counts again when it sees the pod go.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from motet.api.deletion import UNCHANGED, Fate
from motet.api.options import DeleteOptions, RequestOptions
from motet.api.writing import Writer
from motet.base import selectors, timestamps
from motet.base.errors import ApiError, BadRequest, Forbidden, InternalError, NotFound, TooManyRequests
from motet.kinds import pod as pods
from motet.kinds import poddisruptionbudget as budgets
from motet.kinds import podstatus
from motet.kinds.kind import Json
from motet.kinds.poddisruptionbudget import BudgetView
from motet.store.document import Document, Meta
from motet.store.table import Table

VIOLATES: Final = "Cannot evict pod as it would violate the pod's disruption budget."
# When to ask again while the controller has not counted yet, in seconds.
_COUNTING_SECONDS = 10
# Evictions that the controller has not seen end; more than these and something is wrong with it.
_MOST_PENDING = 2000


class _Condition(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    status: str = ""


class _PodStatus(msgspec.Struct, gc=False, frozen=True):
    phase: str = "Pending"
    conditions: tuple[_Condition, ...] | None = None


class _Pod(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    status: _PodStatus = _PodStatus()

    @property
    def ready(self) -> bool:
        return any(each.type == "Ready" and each.status == "True" for each in self.status.conditions or ())


def deletion_asked(body: Json, options: RequestOptions) -> DeleteOptions:
    """The deletion that an Eviction asks for. Raises BadRequest."""
    asked = body.get("deleteOptions") or {}
    wanted = asked.get("preconditions") or {} if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(wanted, dict):
        raise BadRequest("deleteOptions of the Eviction must be an object")
    grace = asked.get("gracePeriodSeconds")
    if grace is not None and not isinstance(grace, int):
        raise BadRequest("deleteOptions.gracePeriodSeconds must be a number")
    return DeleteOptions(
        grace_seconds=grace,
        uid=wanted.get("uid") or "",
        resource_version=wanted.get("resourceVersion") or "",
        propagation=asked.get("propagationPolicy") or "",
        dry_run=options.dry_run or bool(asked.get("dryRun")),
    )


async def permit(writer: Writer, table: Table, pod: Document, now: datetime, *, dry_run: bool) -> None:
    """Take a disruption from the budget that covers `pod`, if any does and it costs one, and tell the pod why it goes.

    `table` is that of the budgets. Raises TooManyRequests when the budget is spent, Forbidden when its ledger is full,
    InternalError when several budgets cover the pod.
    """
    view = pod.view(_Pod)
    if view.status.phase in ("Succeeded", "Failed", "Pending") or view.metadata.deletion_timestamp is not None:
        return
    covering = [budget for budget in table.select(pod.namespace) if covers(budget.view(BudgetView), view.metadata)]
    if not covering:
        return
    if len(covering) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    ready = view.ready
    taken = False

    async def decide(current: Document) -> Json | bytes | Fate:
        nonlocal taken
        taken = needed(budget := current.view(BudgetView), ready)
        if not taken:
            return UNCHANGED
        if (refused := refusal(budget)) is not None:
            raise refused
        return _noted(current.decode(), pod.name, now)

    try:
        await writer.modify(budgets.KIND, pod.namespace, covering[0].name, decide, dry_run=dry_run)
    except NotFound:
        return  # the budget was deleted a moment ago

    async def tell(current: Document) -> Json | bytes | Fate:
        document = current.decode()
        podstatus.mark_disrupted(document, "EvictionByEvictionAPI", "Eviction API: evicting", now)
        return document

    if taken:
        await writer.modify(pods.KIND, pod.namespace, pod.name, tell, dry_run=dry_run)


def covers(budget: BudgetView, pod: Meta) -> bool:
    """Whether the budget is about this pod."""
    return selectors.from_document(budget.spec.selector).matches(pod.labels)


def needed(budget: BudgetView, ready: bool) -> bool:
    """Whether evicting a pod costs one of the disruptions allowed: one that is not ready adds nothing to the healthy."""
    if ready:
        return True
    if budget.spec.unhealthy_pod_eviction_policy == budgets.ALWAYS_ALLOW:
        return False
    status = budget.status
    return not (status.desired_healthy > 0 and status.current_healthy >= status.desired_healthy)


def refusal(budget: BudgetView) -> ApiError | None:
    """Why the budget lets nobody go at this moment; None when it does."""
    status, name = budget.status, budget.metadata.name
    if status.observed_generation < budget.metadata.generation:
        why = f"The disruption budget {name} is still being processed by the server."
        return _later(why, _COUNTING_SECONDS)
    if status.disruptions_allowed < 0:
        return Forbidden(f'poddisruptionbudgets.policy "{name}" is forbidden: pdb disruptions allowed is negative')
    if len(status.disrupted_pods) > _MOST_PENDING:
        return Forbidden(
            f'poddisruptionbudgets.policy "{name}" is forbidden: DisruptedPods map too big - too many evictions not '
            "confirmed by PDB controller"
        )
    if status.disruptions_allowed == 0:
        why = (
            f"The disruption budget {name} needs {status.desired_healthy} healthy pods and has "
            f"{status.current_healthy} currently"
        )
        return _later(why, 0)
    return None


def _later(why: str, seconds: int) -> TooManyRequests:
    details: Json = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if seconds:
        details["retryAfterSeconds"] = seconds
    return TooManyRequests(VIOLATES, details=details)


def _noted(document: Json, pod: str, now: datetime) -> Json:
    """The budget with one disruption fewer, and the pod in its ledger."""
    status = document["status"]
    left = status["disruptionsAllowed"] = status["disruptionsAllowed"] - 1
    stamp = timestamps.format_time(now)
    status.setdefault("disruptedPods", {})[pod] = stamp
    if left == 0:
        for condition in status.get("conditions") or ():
            if condition["type"] == budgets.DISRUPTION_ALLOWED and condition["status"] != "False":
                condition.update(status="False", reason=budgets.INSUFFICIENT, lastTransitionTime=stamp)
    return document
