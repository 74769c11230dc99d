"""ResourceQuotas: how much a namespace may have of everything together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from motet.base import names, quantity
from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, objects, strings, text

TERMINATING, NOT_TERMINATING = "Terminating", "NotTerminating"
BEST_EFFORT, NOT_BEST_EFFORT = "BestEffort", "NotBestEffort"
PRIORITY, CROSS_NAMESPACE = "PriorityClass", "CrossNamespacePodAffinity"
SCOPES = (TERMINATING, NOT_TERMINATING, BEST_EFFORT, NOT_BEST_EFFORT, PRIORITY, CROSS_NAMESPACE)

# What pods are counted and weighed by.
COMPUTE = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
_EPHEMERAL = ("ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage")
_COUNTED = (
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
)  # fmt: skip
_STANDARD = frozenset((*COMPUTE, *_EPHEMERAL, *_COUNTED, "requests.storage"))
_CONFLICTING = ({TERMINATING, NOT_TERMINATING}, {BEST_EFFORT, NOT_BEST_EFFORT})
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    hard = mapping(spec, "hard")
    errors = _amounts(hard, "spec.hard")
    for part in ("hard", "used"):
        errors += _amounts(mapping(document, "status", part), f"status.{part}")
    scopes = strings(spec, "scopes")
    errors += _scopes(scopes, hard, "spec.scopes", scopes)
    for index, term in enumerate(objects(spec, "scopeSelector", "matchExpressions")):
        errors += _term(term, hard, f"spec.scopeSelector.matchExpressions[{index}]")
    if old is not None and set(scopes) != set(strings(old, "spec", "scopes")):
        errors.append(invalid("spec.scopes", scopes, checks.IMMUTABLE))
    return errors


def _amounts(amounts: Json, path: str) -> list[FieldError]:
    errors = []
    for name, value in amounts.items():
        here = f"{path}[{name}]"
        errors += checks.named(here, name, names.qualified_name_error)
        if "/" not in name and name not in _STANDARD and not name.startswith(("hugepages-", "requests.hugepages-")):
            errors.append(invalid(here, name, "must be a standard resource for quota"))
        problems = checks.amount(here, value)
        errors += problems
        if not problems and _whole(name) and quantity.parse(value).denominator != 1:
            errors.append(invalid(here, value, "must be an integer"))
    return errors


def _whole(name: str) -> bool:
    return name in _COUNTED or name.startswith("count/")


def _scopes(scopes: Iterable[str], hard: Json, path: str, shown: Any) -> list[FieldError]:
    errors = []
    for scope in scopes:
        if scope not in SCOPES:
            errors.append(invalid(path, shown, "unsupported scope"))
            continue
        allowed = ("pods",) if scope == BEST_EFFORT else ("pods", *COMPUTE)
        if any(name in _STANDARD and name not in allowed for name in hard):
            errors.append(invalid(path, shown, "unsupported scope applied to resource"))
    if any(pair <= set(scopes) for pair in _CONFLICTING):
        errors.append(invalid(path, shown, "conflicting scopes"))
    return errors


def _term(term: Json, hard: Json, path: str) -> list[FieldError]:
    scope, operator, values = text(term, "scopeName"), text(term, "operator"), strings(term, "values")
    errors = _scopes([scope], hard, f"{path}.scopeName", scope)
    errors += checks.one_of(f"{path}.operator", operator, _OPERATORS)
    if scope != PRIORITY and operator != "Exists":
        detail = (
            "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
        )
        detail += "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
        errors.append(invalid(f"{path}.operator", operator, detail))
    if operator in ("In", "NotIn") and not values:
        errors.append(
            required(
                f"{path}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
        )
    if operator in ("Exists", "DoesNotExist") and values:
        detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        errors.append(invalid(f"{path}.values", values, detail))
    return errors


def _listed(document: Json, limits: bool) -> str:
    hard, used = mapping(document, "status", "hard"), mapping(document, "status", "used")
    return ", ".join(
        f"{name}: {used.get(name, 0)}/{hard[name]}" for name in sorted(hard) if name.startswith("limits.") == limits
    )


KIND = Kind(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    singular="resourcequota",
    short_names=("quota",),
    schema="io.k8s.api.core.v1.ResourceQuota",
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Request", lambda document: _listed(document, limits=False), about="What is used, and may be."),
        column("Limit", lambda document: _listed(document, limits=True), about="The same of limits."),
        AGE,
    ),
)
