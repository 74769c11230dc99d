"""PodDisruptionBudgets (policy/v1): how many pods of a set may be taken away on purpose at the same time."""

from __future__ import annotations

from typing import Any

import msgspec

from motet.base.errors import FieldError, invalid
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column, number_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, text
from motet.store.document import Meta

IF_HEALTHY_BUDGET, ALWAYS_ALLOW = "IfHealthyBudget", "AlwaysAllow"
# The condition that says whether an eviction would be let through, and its reasons.
DISRUPTION_ALLOWED = "DisruptionAllowed"
SUFFICIENT, INSUFFICIENT, SYNC_FAILED = "SufficientPods", "InsufficientPods", "SyncFailed"


class BudgetSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    selector: dict[str, Any] | None = None
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    unhealthy_pod_eviction_policy: str = IF_HEALTHY_BUDGET


class BudgetCondition(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0


class BudgetStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """`disrupted_pods` are those whose eviction was let through and that are not seen to go yet: name -> time."""

    observed_generation: int = 0
    disrupted_pods: dict[str, str] = {}
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    conditions: tuple[BudgetCondition, ...] = ()


class BudgetView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()


def prepare_create(document: Json) -> None:
    # Until the controller has looked, nobody may be evicted.
    document["status"] = {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    errors = []
    if least is not None and most is not None:
        errors.append(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        errors += checks.count_or_percent(f"spec.{field}", value)
        errors += checks.at_most_all(f"spec.{field}", value)
    errors += checks.label_selector("spec.selector", mapping(spec, "selector"))
    policy = text(spec, "unhealthyPodEvictionPolicy")
    return errors + checks.one_of(
        "spec.unhealthyPodEvictionPolicy", policy, (ALWAYS_ALLOW, IF_HEALTHY_BUDGET), needed=False
    )


def _asked(field: str) -> Any:
    def cell(document: Json) -> str:
        found = mapping(document, "spec").get(field)
        return "N/A" if found is None else str(found)

    return cell


KIND = Kind(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    singular="poddisruptionbudget",
    short_names=("pdb",),
    schema="io.k8s.api.policy.v1.PodDisruptionBudget",
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Min Available", _asked("minAvailable"), about="Pods that must stay available."),
        column("Max Unavailable", _asked("maxUnavailable"), about="Pods that may be unavailable."),
        column(
            "Allowed Disruptions",
            number_at("status", "disruptionsAllowed"),
            type="integer",
            about="Pods that may be evicted at this moment.",
        ),
        AGE,
    ),
)
