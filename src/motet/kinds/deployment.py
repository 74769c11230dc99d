"""Deployments: replica sets rolled from one revision to the next."""

from __future__ import annotations

from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, column, number_at
from motet.kinds.kind import Json, Kind, Scale
from motet.kinds.podspec.defaults import default_template
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, number, text
from motet.kinds.workload import is_zero, selector_text, validate_selected_template


def default(document: Json) -> None:
    spec = made(document, "spec")
    fill_absent(spec, "replicas", 1)
    fill_absent(spec, "revisionHistoryLimit", 10)
    fill_absent(spec, "progressDeadlineSeconds", 600)
    strategy = made(spec, "strategy")
    fill_empty(strategy, "type", "RollingUpdate")
    if text(strategy, "type") == "RollingUpdate":
        rolling = made(strategy, "rollingUpdate")
        fill_absent(rolling, "maxUnavailable", "25%")
        fill_absent(rolling, "maxSurge", "25%")
    default_template(made(spec, "template"))


def prepare_create(document: Json) -> None:
    document["status"] = {}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = checks.not_negative(
        spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"
    )
    deadline = spec.get("progressDeadlineSeconds")
    if isinstance(deadline, int) and 0 <= deadline <= number(spec, "minReadySeconds"):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    errors += validate_selected_template(spec, "spec", "deployment", label="ReplicaSet")
    errors += _strategy(mapping(spec, "strategy"))
    if old is not None:
        errors += checks.unchanged("spec.selector", spec.get("selector"), mapping(old, "spec").get("selector"))
    return errors


def _strategy(strategy: Json) -> list[FieldError]:
    path = "spec.strategy"
    rolling = strategy.get("rollingUpdate")
    match text(strategy, "type"):
        case "Recreate":
            if rolling is None:
                return []
            detail = "may not be specified when strategy `type` is 'Recreate'"
            return [forbidden(f"{path}.rollingUpdate", detail)]
        case "RollingUpdate":
            if not isinstance(rolling, dict):
                return [required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
            return _rolling(rolling, f"{path}.rollingUpdate")
        case other:
            return checks.one_of(f"{path}.type", other, ("Recreate", "RollingUpdate"))


def _rolling(rolling: Json, path: str) -> list[FieldError]:
    down, up = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = checks.count_or_percent(f"{path}.maxUnavailable", down)
    errors += checks.count_or_percent(f"{path}.maxSurge", up)
    if is_zero(down) and is_zero(up):
        errors.append(invalid(f"{path}.maxUnavailable", down, "may not be 0 when `maxSurge` is 0"))
    return [*errors, *checks.at_most_all(f"{path}.maxUnavailable", down)]


def _ready(document: Json) -> str:
    return f"{number(document, 'status', 'readyReplicas')}/{number(document, 'spec', 'replicas')}"


KIND = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.Deployment",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    status_metadata=False,  # as upstream has it for this kind alone
    scale=Scale(selector=selector_text),
    columns=(
        NAME,
        column("Ready", _ready, about="Pods that are ready, and pods asked for."),
        column("Up-to-date", number_at("status", "updatedReplicas"), type="integer", about="Pods of the new revision."),
        column("Available", number_at("status", "availableReplicas"), type="integer", about="Pods that serve."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
