"""The autoscaling/v1 face of autoscalers, which knows CPU only.

What it has no field for goes along in annotations, under upstream's names and in the newer version's form, so that nothing is
lost when somebody reads in one version and writes in the other.
"""

from __future__ import annotations

from typing import Any

import msgspec

from motet.kinds import horizontalpodautoscaler
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Json, Kind, Projection
from motet.kinds.shape import made, mapping, objects, text

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, BEHAVIOR = f"{_PREFIX}metrics", f"{_PREFIX}behavior"
CURRENT, CONDITIONS = f"{_PREFIX}current-metrics", f"{_PREFIX}conditions"


def read(document: Json) -> None:
    """Stored -> shown."""
    document["apiVersion"] = "autoscaling/v1"
    spec, status = mapping(document, "spec"), mapping(document, "status")
    metrics = objects(spec, "metrics")
    first = next((metric for metric in metrics if _is_cpu(metric)), None)
    if first is not None:
        spec["targetCPUUtilizationPercentage"] = mapping(first, "resource", "target")["averageUtilization"]
    spec.pop("metrics", None)
    _keep(document, METRICS, [metric for metric in metrics if metric is not first])
    _keep(document, BEHAVIOR, spec.pop("behavior", None))
    current = objects(status, "currentMetrics")
    for metric in current:
        now = mapping(metric, "resource", "current").get("averageUtilization")
        if text(metric, "resource", "name") == "cpu" and isinstance(now, int):
            status["currentCPUUtilizationPercentage"] = now
            break
    status.pop("currentMetrics", None)
    _keep(document, CURRENT, current)
    _keep(document, CONDITIONS, status.pop("conditions", None))
    if isinstance(document.get("status"), dict):
        status.setdefault("currentReplicas", 0)


def write(document: Json) -> None:
    """Sent -> stored."""
    document["apiVersion"] = "autoscaling/v2"
    spec, status = mapping(document, "spec"), mapping(document, "status")
    metrics: list[Any] = []
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    others = _taken(document, METRICS)
    metrics += others if isinstance(others, list) else []
    if metrics:
        spec["metrics"] = metrics
    if (behavior := _taken(document, BEHAVIOR)) is not None:
        spec["behavior"] = behavior
    status.pop("currentCPUUtilizationPercentage", None)
    for annotation, member in ((CURRENT, "currentMetrics"), (CONDITIONS, "conditions")):
        found = _taken(document, annotation)
        if found and isinstance(document.get("status"), dict):
            status[member] = found


def _is_cpu(metric: Json) -> bool:
    target = mapping(metric, "resource", "target")
    return text(metric, "resource", "name") == "cpu" and isinstance(target.get("averageUtilization"), int)


def _keep(document: Json, annotation: str, value: Any) -> None:
    if value:
        made(document, "metadata", "annotations")[annotation] = msgspec.json.encode(value).decode()


def _taken(document: Json, annotation: str) -> Any:
    annotations = mapping(document, "metadata", "annotations")
    found = annotations.pop(annotation, None)
    if not annotations and "annotations" in mapping(document, "metadata"):
        del document["metadata"]["annotations"]
    try:
        return msgspec.json.decode(found) if isinstance(found, str) else None
    except msgspec.DecodeError:
        return None


def _percent(document: Json) -> str:
    now = mapping(document, "status").get("currentCPUUtilizationPercentage")
    wanted = mapping(document, "spec").get("targetCPUUtilizationPercentage")
    return f"{'<unknown>' if now is None else f'{now}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"


_STORED = {each.name: each for each in horizontalpodautoscaler.KIND.columns}

KIND = Kind(
    group="autoscaling",
    version="v1",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    schema="io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    status=True,
    columns=(
        NAME,
        _STORED["Reference"],
        column(
            "Targets", lambda document: f"cpu: {_percent(document)}", about="What is measured, and what it should be."
        ),
        _STORED["MinPods"],
        _STORED["MaxPods"],
        _STORED["Replicas"],
        AGE,
    ),
    projection=Projection(of=horizontalpodautoscaler.KIND, read=read, write=write),
)
