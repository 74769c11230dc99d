"""Stateful sets: numbered pods, each with a name and storage of its own that outlive it."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks, persistentvolumeclaim
from motet.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, column
from motet.kinds.kind import Json, Kind, Scale
from motet.kinds.podspec.defaults import default_template
from motet.kinds.shape import each, fill_absent, fill_empty, made, mapping, number, objects, text
from motet.kinds.workload import is_zero, selector_text, validate_selected_template

_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def default(document: Json) -> None:
    spec = made(document, "spec")
    fill_absent(spec, "replicas", 1)
    fill_absent(spec, "revisionHistoryLimit", 10)
    fill_empty(spec, "podManagementPolicy", "OrderedReady")
    strategy = made(spec, "updateStrategy")
    fill_empty(strategy, "type", "RollingUpdate")
    if text(strategy, "type") == "RollingUpdate":
        fill_absent(made(strategy, "rollingUpdate"), "partition", 0)
    retention = made(spec, "persistentVolumeClaimRetentionPolicy")
    fill_empty(retention, "whenDeleted", "Retain")
    fill_empty(retention, "whenScaled", "Retain")
    each(spec, "volumeClaimTemplates", _default_claim)
    default_template(made(spec, "template"))


def _default_claim(claim: Json) -> None:
    kind = persistentvolumeclaim.KIND
    fill_empty(claim, "apiVersion", kind.api_version)
    fill_empty(claim, "kind", kind.kind)
    persistentvolumeclaim.default(claim)


def prepare_create(document: Json) -> None:
    document["status"] = {"replicas": 0, "availableReplicas": 0}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = checks.not_negative(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
    errors += checks.not_negative(mapping(spec, "ordinals"), "spec.ordinals", "start")
    errors += _management(text(spec, "podManagementPolicy"))
    errors += _strategy(mapping(spec, "updateStrategy"))
    retention = mapping(spec, "persistentVolumeClaimRetentionPolicy")
    for key in ("whenDeleted", "whenScaled"):
        path = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
        errors += checks.one_of(path, text(retention, key), ("Retain", "Delete"))
    errors += validate_selected_template(_with_volumes(spec), "spec", "statefulset", label="StatefulSet")
    if old is None:
        return [*errors, *checks.named("spec.serviceName", text(spec, "serviceName"), names.label_error, needed=False)]
    return [*errors, *_kept(spec, mapping(old, "spec"))]


def _with_volumes(spec: Json) -> Json:
    """The specification with the claims as volumes of the template, as its pods will have them."""
    claims = [text(claim, "metadata", "name") for claim in objects(spec, "volumeClaimTemplates")]
    if not claims:
        return spec
    template, inner = mapping(spec, "template"), mapping(spec, "template", "spec")
    volumes: list[Json] = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    volumes += [volume for volume in objects(inner, "volumes") if text(volume, "name") not in claims]
    return {**spec, "template": {**template, "spec": {**inner, "volumes": volumes}}}


def _management(policy: str) -> list[FieldError]:
    path = "spec.podManagementPolicy"
    if not policy:
        return [required(path)]
    fine = policy in ("OrderedReady", "Parallel")
    return [] if fine else [invalid(path, policy, "must be 'OrderedReady' or 'Parallel'")]


def _strategy(strategy: Json) -> list[FieldError]:
    path = "spec.updateStrategy"
    rolling = strategy.get("rollingUpdate")
    match text(strategy, "type"):
        case "":
            return [required(path)]
        case "OnDelete":
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            return [] if rolling is None else [invalid(f"{path}.rollingUpdate", rolling, detail)]
        case "RollingUpdate":
            return _rolling(rolling, f"{path}.rollingUpdate") if isinstance(rolling, dict) else []
        case _:
            return [invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")]


def _rolling(rolling: Json, path: str) -> list[FieldError]:
    errors = checks.not_negative(rolling, path, "partition")
    amount = rolling.get("maxUnavailable")
    if amount is None:
        return errors
    here = f"{path}.maxUnavailable"
    errors += checks.count_or_percent(here, amount)
    if is_zero(amount):
        errors.append(invalid(here, amount, "cannot be 0"))
    return [*errors, *checks.at_most_all(here, amount)]


def _kept(spec: Json, was: Json) -> list[FieldError]:
    def fixed(part: Json) -> Json:
        return {key: value for key, value in part.items() if key not in _CHANGEABLE}

    return [] if fixed(spec) == fixed(was) else [forbidden("spec", _FIXED)]


def _ready(document: Json) -> str:
    return f"{number(document, 'status', 'readyReplicas')}/{number(document, 'spec', 'replicas')}"


KIND = Kind(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.StatefulSet",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    scale=Scale(selector=selector_text),
    columns=(
        NAME,
        column("Ready", _ready, about="Pods that are ready, and pods asked for."),
        AGE,
        CONTAINERS,
        IMAGES,
    ),
)
