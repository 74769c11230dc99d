"""Horizontal pod autoscalers: so many pods that each is about as busy as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from motet.base import names, quantity
from motet.base.errors import FieldError, forbidden, invalid, required, unsupported
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, UNSET, column, number_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_absent, made, mapping, objects, text

# A metric's type -> the member that describes it.
SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_TARGETS = ("AverageValue", "Utilization", "Value")
_DEFAULT_METRICS = [
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
]
# What rules that are given in part are completed with.
RULES: dict[str, Json] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}
_LONGEST_WINDOW = 3600
_LONGEST_PERIOD = 1800
_SHOWN_METRICS = 2


def default(document: Json) -> None:
    spec = made(document, "spec")
    fill_absent(spec, "minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = deepcopy(_DEFAULT_METRICS)
    behavior = spec.get("behavior")
    if isinstance(behavior, dict):
        for direction, rules in RULES.items():
            given = made(behavior, direction)
            for key, value in rules.items():
                fill_absent(given, key, deepcopy(value))


def prepare_create(document: Json) -> None:
    document["status"] = {"desiredReplicas": 0, "currentReplicas": 0}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors: list[FieldError] = []
    least, most = spec.get("minReplicas"), spec.get("maxReplicas")
    if isinstance(least, int) and least < 1:
        errors.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if isinstance(most, int) and most < 1:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    if isinstance(least, int) and isinstance(most, int) and most < least:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    errors += _reference(mapping(spec, "scaleTargetRef"), "spec.scaleTargetRef")
    for index, metric in enumerate(objects(spec, "metrics")):
        errors += _metric(metric, f"spec.metrics[{index}]")
    behavior = mapping(spec, "behavior")
    for direction in ("scaleUp", "scaleDown"):
        if isinstance(behavior.get(direction), dict):
            errors += _rules(behavior[direction], f"spec.behavior.{direction}")
    return errors


def _reference(reference: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("kind", "name"):
        value = text(reference, key)
        if not value:
            errors.append(required(f"{path}.{key}"))
        elif "/" in value or "%" in value:
            errors.append(invalid(f"{path}.{key}", value, "may not contain '/' or '%'"))
    return errors


def _metric(metric: Json, path: str) -> list[FieldError]:
    kind = text(metric, "type")
    if not kind:
        return [required(f"{path}.type", "must specify a metric source type")]
    if kind not in SOURCES:
        return [unsupported(f"{path}.type", kind, SOURCES)]
    member = SOURCES[kind]
    errors = [
        forbidden(f"{path}.{other}", "must populate the given metric source only")
        for other in SOURCES.values()
        if other != member and metric.get(other) is not None
    ]
    source = metric.get(member)
    if not isinstance(source, dict):
        return [*errors, required(f"{path}.{member}", "must populate information for the given metric source")]
    return [*errors, *_source(source, member, f"{path}.{member}")]


def _source(source: Json, member: str, path: str) -> list[FieldError]:
    target = mapping(source, "target")
    errors = _target(target, f"{path}.target")
    if member in ("resource", "containerResource"):
        if not text(source, "name"):
            errors.append(required(f"{path}.name", "must specify a resource name"))
        if member == "containerResource":
            errors += checks.named(f"{path}.container", text(source, "container"), names.label_error)
        return [*errors, *_resource_target(target, f"{path}.target")]
    if not text(source, "metric", "name"):
        errors.append(required(f"{path}.metric.name", "must specify a metric name"))
    if member == "object":
        errors += _reference(mapping(source, "describedObject"), f"{path}.describedObject")
    value, average = target.get("value"), target.get("averageValue")
    if member == "pods" and average is None:
        errors.append(required(f"{path}.target.averageValue", "must specify a positive target averageValue"))
    elif member != "pods" and value is None and average is None:
        detail = "must set either a target value or averageValue"
        if member == "external":
            detail = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{path}.target.averageValue", detail))
    elif member == "external" and value is not None and average is not None:
        detail = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden(f"{path}.target.value", detail))
    return errors


def _target(target: Json, path: str) -> list[FieldError]:
    kind = text(target, "type")
    if not kind:
        return [required(f"{path}.type", "must specify a metric target type")]
    errors: list[FieldError] = [] if kind in _TARGETS else [unsupported(f"{path}.type", kind, _TARGETS)]
    for key in ("value", "averageValue"):
        if target.get(key) is not None and not _positive(target[key]):
            errors.append(invalid(f"{path}.{key}", target[key], "must be positive"))
    utilization = target.get("averageUtilization")
    if isinstance(utilization, int) and utilization < 1:
        errors.append(invalid(f"{path}.averageUtilization", utilization, "must be greater than 0"))
    return errors


def _positive(amount: Any) -> bool:
    try:
        return quantity.parse(amount) > 0
    except (TypeError, ValueError):
        return False


def _resource_target(target: Json, path: str) -> list[FieldError]:
    utilization, value = target.get("averageUtilization"), target.get("averageValue")
    if utilization is None and value is None:
        detail = "must set either a target raw value or a target utilization"
        return [required(f"{path}.averageUtilization", detail)]
    if utilization is not None and value is not None:
        detail = "may not set both a target raw value and a target utilization"
        return [forbidden(f"{path}.averageValue", detail)]
    return []


def _rules(rules: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    window = rules.get("stabilizationWindowSeconds")
    here = f"{path}.stabilizationWindowSeconds"
    if isinstance(window, int) and window < 0:
        errors.append(invalid(here, window, "must be greater than or equal to zero"))
    if isinstance(window, int) and window > _LONGEST_WINDOW:
        errors.append(invalid(here, window, f"must be less than or equal to {_LONGEST_WINDOW}"))
    errors += checks.one_of(
        f"{path}.selectPolicy", text(rules, "selectPolicy"), ("Disabled", "Max", "Min"), needed=False
    )
    policies = objects(rules, "policies")
    if not policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        errors += _policy(policy, f"{path}.policies[{index}]")
    if rules.get("tolerance") is not None:
        errors += checks.amount(f"{path}.tolerance", rules["tolerance"])
    return errors


def _policy(policy: Json, path: str) -> list[FieldError]:
    errors = checks.one_of(f"{path}.type", text(policy, "type"), ("Percent", "Pods"))
    for key in ("value", "periodSeconds"):
        if isinstance(policy.get(key), int) and policy[key] <= 0:
            errors.append(invalid(f"{path}.{key}", policy[key], "must be greater than zero"))
    period = policy.get("periodSeconds")
    if isinstance(period, int) and period > _LONGEST_PERIOD:
        errors.append(invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {_LONGEST_PERIOD}"))
    return errors


def _target_of(document: Json) -> str:
    reference = mapping(document, "spec", "scaleTargetRef")
    return f"{text(reference, 'kind')}/{text(reference, 'name')}"


def _metrics(document: Json) -> str:
    """`cpu: 12%/80%`."""
    shown = list(_each_metric(document))
    if len(shown) > _SHOWN_METRICS:
        return f"{', '.join(shown[:_SHOWN_METRICS])} + {len(shown) - _SHOWN_METRICS} more..."
    return ", ".join(shown) or "<none>"


def _each_metric(document: Json) -> Iterator[str]:
    current = objects(document, "status", "currentMetrics")
    for index, metric in enumerate(objects(document, "spec", "metrics")):
        member = SOURCES.get(text(metric, "type"), "")
        source = mapping(metric, member) if member else {}
        now = mapping(current[index], member, "current") if index < len(current) else {}
        name = text(source, "name")
        name = {"containerResource": f"{name}/container", "resource": name}.get(member, "")
        yield (
            f"{name}: {_compared(now, mapping(source, 'target'))}"
            if name
            else _compared(now, mapping(source, "target"))
        )


def _compared(now: Json, target: Json) -> str:
    if (utilization := target.get("averageUtilization")) is not None:
        found = now.get("averageUtilization")
        return f"{'<unknown>' if found is None else f'{found}%'}/{utilization}%"
    if (average := target.get("averageValue")) is not None:
        per_pod = "" if now.get("averageUtilization") is not None or "value" not in now else " (avg)"
        return f"{now.get('averageValue', '<unknown>')}/{average}{per_pod}"
    return f"{now.get('value', '<unknown>')}/{target.get('value', '<auto>')}"


def _least(document: Json) -> str:
    found = mapping(document, "spec").get("minReplicas")
    return UNSET if found is None else str(found)


KIND = Kind(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    schema="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Reference", _target_of, about="What is scaled."),
        column("Targets", _metrics, about="What is measured, and what it should be."),
        column("MinPods", _least, about="Never fewer pods than these."),
        column("MaxPods", number_at("spec", "maxReplicas"), type="integer", about="Never more pods than these."),
        column("Replicas", number_at("status", "currentReplicas"), type="integer", about="Pods asked for now."),
        AGE,
    ),
)
