"""PriorityClasses (scheduling.k8s.io/v1): names for how important pods are."""

from __future__ import annotations

from motet.base.errors import FieldError, forbidden
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column, number_at, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_absent, number, text

# What people may give; above it are the cluster's own.
HIGHEST = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM: dict[str, int] = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
PREEMPT = "PreemptLowerPriority"


def default(document: Json) -> None:
    fill_absent(document, "preemptionPolicy", PREEMPT)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    name, value = text(document, "metadata", "name"), number(document, "value")
    errors = []
    if name.startswith(SYSTEM_PREFIX):
        if SYSTEM.get(name) != value or document.get("globalDefault") is True:
            detail = "priority class names with 'system-' prefix are reserved for system use only"
            errors.append(forbidden("metadata.name", detail))
    elif value > HIGHEST:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST}"
        errors.append(forbidden("value", detail))
    errors += checks.one_of("preemptionPolicy", text(document, "preemptionPolicy"), (PREEMPT, "Never"))
    if old is not None:
        if value != number(old, "value"):
            errors.append(forbidden("value", "may not be changed in an update."))
        errors += checks.unchanged(
            "preemptionPolicy", text(document, "preemptionPolicy"), text(old, "preemptionPolicy")
        )
    return errors


KIND = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    singular="priorityclass",
    short_names=("pc",),
    namespaced=False,
    schema="io.k8s.api.scheduling.v1.PriorityClass",
    default=default,
    validate=validate,
    columns=(
        NAME,
        column("Value", number_at("value"), type="integer", about="The higher, the more important."),
        column(
            "Global-Default",
            lambda document: document.get("globalDefault") is True,
            type="boolean",
            about="Whether pods that name no class have this one.",
        ),
        AGE,
        column("PreemptionPolicy", text_at("preemptionPolicy"), about="Whether others have to leave for its pods."),
    ),
)
