"""What a Job says about failure and success: `podFailurePolicy`, `successPolicy` and the limits per index."""

from __future__ import annotations

from typing import Any

from motet.base import indexes, names
from motet.base.errors import FieldError, duplicate, invalid, required, unsupported
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, text

_MOST_RULES = 20
_MOST_CODES = 255
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_STATUSES = ("False", "True", "Unknown")


def validate_failure_policy(spec: Json, path: str) -> list[FieldError]:
    """`podFailurePolicy` and what it asks of the rest."""
    policy = spec.get("podFailurePolicy")
    if not isinstance(policy, dict):
        return []
    errors: list[FieldError] = []
    restart = text(spec, "template", "spec", "restartPolicy")
    if restart != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid(f"{path}.template.spec.restartPolicy", restart, detail))
    rules, here = objects(policy, "rules"), f"{path}.podFailurePolicy.rules"
    if len(rules) > _MOST_RULES:
        errors.append(checks.too_many(here, len(rules), _MOST_RULES))
    for number, rule in enumerate(rules):
        errors += _failure_rule(rule, spec, f"{here}[{number}]")
    return errors


def _failure_rule(rule: Json, spec: Json, path: str) -> list[FieldError]:
    action = text(rule, "action")
    if not action:
        errors = [required(f"{path}.action", f"valid values: [{' '.join(_ACTIONS)}]")]
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        errors = [invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")]
    else:
        errors = checks.one_of(f"{path}.action", action, _ACTIONS)
    codes, conditions = rule.get("onExitCodes"), objects(rule, "onPodConditions")
    if codes is None and not conditions:
        errors.append(invalid(path, rule, "specifying one of OnExitCodes and OnPodConditions is required"))
    elif codes is not None and conditions:
        errors.append(invalid(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if isinstance(codes, dict):
        errors += _exit_codes(codes, spec, f"{path}.onExitCodes")
    if len(conditions) > _MOST_RULES:
        errors.append(checks.too_many(f"{path}.onPodConditions", len(conditions), _MOST_RULES))
    for number, pattern in enumerate(conditions):
        here = f"{path}.onPodConditions[{number}]"
        errors += checks.named(f"{here}.type", text(pattern, "type"), names.qualified_name_error)
        errors += checks.one_of(f"{here}.status", text(pattern, "status"), _STATUSES)
    return errors


def _exit_codes(codes: Json, spec: Json, path: str) -> list[FieldError]:
    operator = text(codes, "operator")
    errors = checks.one_of(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    pod = mapping(spec, "template", "spec")
    known = [text(each, "name") for key in ("containers", "initContainers") for each in objects(pod, key)]
    if name is not None and name not in known:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", name, detail))
    found = codes.get("values")
    values: list[Any] = found if isinstance(found, list) else []
    if not values:
        errors.append(invalid(f"{path}.values", values, "at least one value is required"))
    if len(values) > _MOST_CODES:
        errors.append(checks.too_many(f"{path}.values", len(values), _MOST_CODES))
    seen: set[Any] = set()
    ordered = True
    for number, value in enumerate(values):
        here = f"{path}.values[{number}]"
        if operator == "In" and value == 0:
            errors.append(invalid(here, value, "must not be 0 for the In operator"))
        if value in seen:
            errors.append(duplicate(here, value))
        seen.add(value)
        ordered &= number == 0 or values[number - 1] <= value
    return errors if ordered else [*errors, invalid(f"{path}.values", values, "must be ordered")]


def validate_success_policy(spec: Json, path: str) -> list[FieldError]:
    """`successPolicy`, which needs indexes."""
    policy = spec.get("successPolicy")
    if not isinstance(policy, dict):
        return []
    if text(spec, "completionMode") != "Indexed":
        return [invalid(path, policy, "requires indexed completion mode")]
    rules = objects(policy, "rules")
    errors: list[FieldError] = []
    if not rules:
        errors.append(
            required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
        )
    if len(rules) > _MOST_RULES:
        errors.append(checks.too_many(f"{path}.rules", len(rules), _MOST_RULES))
    for number, rule in enumerate(rules):
        errors += _success_rule(rule, spec.get("completions"), f"{path}.rules[{number}]")
    return errors


def _success_rule(rule: Json, completions: Any, path: str) -> list[FieldError]:
    count, wanted = rule.get("succeededCount"), rule.get("succeededIndexes")
    total = completions if isinstance(completions, int) else 0
    errors: list[FieldError] = []
    if count is None and wanted is None:
        return [required(path, "at least one of succeededCount or succeededIndexes must be specified")]
    size: int | None = None
    if isinstance(wanted, str):
        try:
            ranges = indexes.intervals(wanted)
        except ValueError as error:
            errors.append(invalid(f"{path}.succeededIndexes", wanted, f"error parsing succeededIndexes: {error}"))
        else:
            size = sum(last - first + 1 for first, last in ranges)
            if ranges and ranges[-1][1] >= total:
                detail = f'error parsing succeededIndexes: too large index: "{ranges[-1][1]}"'
                errors.append(invalid(f"{path}.succeededIndexes", wanted, detail))
    if isinstance(count, int):
        here = f"{path}.succeededCount"
        errors += checks.not_negative(rule, path, "succeededCount")
        if count > total:
            detail = f"must be less than or equal to {total} (the number of specified completions)"
            errors.append(invalid(here, count, detail))
        if size is not None and count > size:
            detail = (
                f"must be less than or equal to {size} (the number of indexes in the specified succeededIndexes field)"
            )
            errors.append(invalid(here, count, detail))
    return errors


def validate_replacement(spec: Json, path: str) -> list[FieldError]:
    """`podReplacementPolicy`: with a failure policy, only pods that have ended are replaced."""
    policy = text(spec, "podReplacementPolicy")
    if not policy:
        return []
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    return [] if policy in allowed else [unsupported(path, policy, allowed)]
