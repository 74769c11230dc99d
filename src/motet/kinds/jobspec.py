"""The specification of Jobs, alone and as the template of CronJobs."""

from __future__ import annotations

from typing import Any

from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks, jobpolicies
from motet.kinds.kind import Json
from motet.kinds.podspec.defaults import default_template
from motet.kinds.podspec.spec import validate_template
from motet.kinds.shape import each, fill_absent, fill_empty, made, mapping, objects, text

INDEXED = "Indexed"
# With more completions than this, the number of failed ones and of parallel ones is bounded too.
_MANY_COMPLETIONS = 100_000
_MANY_PARALLEL = 10_000
_NOT_NEGATIVE = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy", "selector")
# Parts of the template that may change while a job waits for its first start.
_PLACING = ("nodeSelector", "tolerations", "schedulingGates")


def default(spec: Json) -> None:
    """Fill a JobSpec that stands by itself."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    fill_absent(spec, "parallelism", 1)
    fill_absent(spec, "backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else checks.MAX_INT32)
    fill_empty(spec, "completionMode", "NonIndexed")
    fill_absent(spec, "suspend", False)
    for rule in objects(spec, "podFailurePolicy", "rules"):
        each(rule, "onPodConditions", lambda pattern: fill_empty(pattern, "status", "True"))
    only_failed = spec.get("podFailurePolicy") is not None
    fill_empty(spec, "podReplacementPolicy", "Failed" if only_failed else "TerminatingOrFailed")
    fill_absent(spec, "manualSelector", False)
    default_template(made(spec, "template"))


def validate(spec: Json, path: str) -> list[FieldError]:
    """Everything but the selector."""
    errors = checks.not_negative(spec, path, *_NOT_NEGATIVE)
    errors += checks.one_of(
        f"{path}.completionMode", text(spec, "completionMode"), ("Indexed", "NonIndexed"), needed=False
    )
    errors += _indexes(spec, path)
    errors += jobpolicies.validate_failure_policy(spec, path)
    errors += jobpolicies.validate_success_policy(spec, f"{path}.successPolicy")
    errors += jobpolicies.validate_replacement(spec, f"{path}.podReplacementPolicy")
    if manager := text(spec, "managedBy"):
        errors += _manager(manager, f"{path}.managedBy")
    if spec.get("scheduling") is not None:
        errors.append(forbidden(f"{path}.scheduling", "pods of a job are placed one by one here, not as a group"))
    template = mapping(spec, "template")
    errors += validate_template(template, f"{path}.template")
    policy = text(template, "spec", "restartPolicy")
    if policy in ("", "Always"):
        errors.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    return errors


def _manager(manager: str, path: str) -> list[FieldError]:
    prefix, slash, name = manager.partition("/")
    if not (slash and prefix and name):
        return [invalid(path, manager, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    return [checks.too_long(path, 63)] if len(manager) > 63 else []


def _indexes(spec: Json, path: str) -> list[FieldError]:
    """What completions by index ask, and what only they may have."""
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    per_index, most_failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    errors: list[FieldError] = []
    if most_failed is not None and per_index is None:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if text(spec, "completionMode") != INDEXED:
        errors += [
            invalid(f"{path}.{key}", spec[key], "requires indexed completion mode")
            for key in ("backoffLimitPerIndex", "maxFailedIndexes")
            if spec.get(key) is not None
        ]
        return errors
    if completions is None:
        errors.append(required(f"{path}.completions", f"when completion mode is {INDEXED}"))
    if isinstance(parallelism, int) and parallelism > _MANY_COMPLETIONS:
        detail = f"must be less than or equal to {_MANY_COMPLETIONS} when completion mode is {INDEXED}"
        errors.append(invalid(f"{path}.parallelism", parallelism, detail))
    if isinstance(completions, int) and isinstance(most_failed, int) and most_failed > completions:
        errors.append(invalid(f"{path}.maxFailedIndexes", most_failed, "must be less than or equal to completions"))
    if isinstance(completions, int) and completions > _MANY_COMPLETIONS and per_index is not None:
        errors += _many(spec, path)
    return errors


def _many(spec: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    when = f"when completions are above {_MANY_COMPLETIONS} and used with backoff limit per index"
    parallelism, most_failed = spec.get("parallelism"), spec.get("maxFailedIndexes")
    if isinstance(parallelism, int) and parallelism > _MANY_PARALLEL:
        errors.append(
            invalid(f"{path}.parallelism", parallelism, f"must be less than or equal to {_MANY_PARALLEL} {when}")
        )
    if most_failed is None:
        errors.append(required(f"{path}.maxFailedIndexes", f"must be specified {when}"))
    elif isinstance(most_failed, int) and most_failed > _MANY_PARALLEL:
        errors.append(
            invalid(f"{path}.maxFailedIndexes", most_failed, f"must be less than or equal to {_MANY_PARALLEL} {when}")
        )
    return errors


def validate_update(spec: Json, old: Json, path: str, *, placing_free: bool) -> list[FieldError]:
    """What stays. `placing_free`: the job is suspended and has never started, so where its pods go may still change."""
    errors: list[FieldError] = []
    for key in _FIXED:
        errors += checks.unchanged(f"{path}.{key}", spec.get(key), old.get(key))
    if spec.get("completions") != old.get("completions"):
        errors += _elastic(spec, path)
    template, before = mapping(spec, "template"), mapping(old, "template")
    if placing_free:
        before = _placed_as(before, template)
    return [*errors, *checks.unchanged(f"{path}.template", template, before)]


def _elastic(spec: Json, path: str) -> list[FieldError]:
    """An indexed job may grow and shrink, all of it at once."""
    completions = spec.get("completions")
    if text(spec, "completionMode") != INDEXED or completions is None:
        return [invalid(f"{path}.completions", completions, checks.IMMUTABLE)]
    if completions != spec.get("parallelism"):
        return [invalid(f"{path}.completions", completions, f"can only be modified in tandem with {path}.parallelism")]
    return []


def _placed_as(template: Json, other: Json) -> Json:
    """`template` with the labels, annotations and placement of `other`."""
    metadata = _taken(mapping(template, "metadata"), mapping(other, "metadata"), ("labels", "annotations"))
    spec = _taken(mapping(template, "spec"), mapping(other, "spec"), _PLACING)
    affinity = _taken(mapping(spec, "affinity"), mapping(other, "spec", "affinity"), ("nodeAffinity",))
    if affinity or "affinity" in mapping(other, "spec"):
        spec["affinity"] = affinity
    else:
        spec.pop("affinity", None)
    return {**template, "metadata": metadata, "spec": spec}


def _taken(base: Json, other: Json, keys: tuple[str, ...]) -> Json:
    kept: dict[str, Any] = {key: value for key, value in base.items() if key not in keys}
    return kept | {key: other[key] for key in keys if key in other}
