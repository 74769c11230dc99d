"""Daemon sets: one pod on every node that suits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, column, number_at, plain_labels
from motet.kinds.kind import Json, Kind
from motet.kinds.podspec.defaults import default_template
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, text
from motet.kinds.workload import is_zero, validate_selected_template

# How often the template has changed. A field of its own in the first versions of the API, an annotation since.
GENERATION = "deprecated.daemonset.template.generation"


def default(document: Json) -> None:
    spec = made(document, "spec")
    fill_absent(spec, "revisionHistoryLimit", 10)
    strategy = made(spec, "updateStrategy")
    fill_empty(strategy, "type", "RollingUpdate")
    if text(strategy, "type") == "RollingUpdate":
        rolling = made(strategy, "rollingUpdate")
        fill_absent(rolling, "maxUnavailable", 1)
        fill_absent(rolling, "maxSurge", 0)
    default_template(made(spec, "template"))


def prepare_create(document: Json) -> None:
    _set_generation(document, 1)
    document["status"] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }


def prepare_update(document: Json, old: Json) -> None:
    changed = mapping(document, "spec").get("template") != mapping(old, "spec").get("template")
    _set_generation(document, template_generation(old) + changed)


def template_generation(document: Json) -> int:
    """How often the template has changed, the first time included; 0 when nobody says."""
    try:
        return int(text(document, "metadata", "annotations", GENERATION))
    except ValueError:
        return 0


def _set_generation(document: Json, generation: int) -> None:
    made(document, "metadata", "annotations")[GENERATION] = str(generation)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = checks.not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    errors += validate_selected_template(spec, "spec", "daemonset", label="DaemonSet")
    errors += _strategy(mapping(spec, "updateStrategy"))
    if old is not None:
        errors += checks.unchanged("spec.selector", spec.get("selector"), mapping(old, "spec").get("selector"))
    return errors


def _strategy(strategy: Json) -> list[FieldError]:
    path = "spec.updateStrategy"
    match text(strategy, "type"):
        case "OnDelete":
            return []
        case "RollingUpdate":
            rolling = strategy.get("rollingUpdate")
            if not isinstance(rolling, dict):
                return [required(f"{path}.rollingUpdate")]
            return _rolling(rolling, f"{path}.rollingUpdate")
        case other:
            return checks.one_of(f"{path}.type", other, ("RollingUpdate", "OnDelete"))


def _rolling(rolling: Json, path: str) -> list[FieldError]:
    down, up = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors: list[FieldError] = []
    if _some(down) and _some(up):
        errors.append(invalid(f"{path}.maxSurge", up, "may not be set when maxUnavailable is non-zero"))
    elif not _some(down) and not _some(up):
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    for key, value in (("maxUnavailable", down), ("maxSurge", up)):
        errors += checks.count_or_percent(f"{path}.{key}", value)
        errors += checks.at_most_all(f"{path}.{key}", value)
    return errors


def _some(amount: Any) -> bool:
    return amount is not None and not is_zero(amount)


def _node_selector(document: Json) -> str:
    return plain_labels(mapping(document, "spec", "template", "spec").get("nodeSelector"))


def _count(field: str) -> Callable[[Json], int]:
    return number_at("status", field)


KIND = Kind(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.DaemonSet",
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Desired", _count("desiredNumberScheduled"), type="integer", about="Nodes that should run the pod."),
        column("Current", _count("currentNumberScheduled"), type="integer", about="Of those, nodes that have it."),
        column("Ready", _count("numberReady"), type="integer", about="Of those, nodes on which it is ready."),
        column("Up-to-date", _count("updatedNumberScheduled"), type="integer", about="Nodes with the newest template."),
        column("Available", _count("numberAvailable"), type="integer", about="Nodes on which it serves."),
        column("Node Selector", _node_selector, about="Labels that a node must have."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
