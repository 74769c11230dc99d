"""Where a pod may run: node selector, affinity, tolerations, spreading, scheduling gates."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required, unsupported
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, number, objects, strings, text

EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_scheduling(spec: Json, path: str) -> list[FieldError]:
    """Everything the scheduler reads."""
    errors = checks.labels(f"{path}.nodeSelector", mapping(spec, "nodeSelector"))
    affinity = mapping(spec, "affinity")
    errors += _node_affinity(mapping(affinity, "nodeAffinity"), f"{path}.affinity.nodeAffinity")
    for key in ("podAffinity", "podAntiAffinity"):
        errors += _pod_affinity(mapping(affinity, key), f"{path}.affinity.{key}")
    errors += validate_tolerations(objects(spec, "tolerations"), f"{path}.tolerations")
    errors += _spread(objects(spec, "topologySpreadConstraints"), f"{path}.topologySpreadConstraints")
    seen: set[str] = set()
    for index, gate in enumerate(objects(spec, "schedulingGates")):
        here = f"{path}.schedulingGates[{index}]"
        errors += checks.named(here, text(gate, "name"), names.qualified_name_error)
        if text(gate, "name") in seen:
            errors.append(duplicate(here, text(gate, "name")))
        seen.add(text(gate, "name"))
    return errors


def validate_tolerations(tolerations: list[Json], path: str) -> list[FieldError]:
    """A list of tolerations."""
    errors = []
    for index, toleration in enumerate(tolerations):
        here = f"{path}[{index}]"
        key, operator, effect = (text(toleration, field) for field in ("key", "operator", "effect"))
        if key:
            errors += checks.named(f"{here}.key", key, names.qualified_name_error)
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{here}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{here}.effect", effect, detail))
        match operator:
            case "" | "Equal":
                errors += checks.named(
                    f"{here}.operator", text(toleration, "value"), names.label_value_error, needed=False
                )
            case "Exists":
                if text(toleration, "value"):
                    detail = "value must be empty when `operator` is 'Exists'"
                    errors.append(invalid(f"{here}.operator", text(toleration, "value"), detail))
            case "Lt" | "Gt":
                if not _is_whole(text(toleration, "value")):
                    detail = "value must be a valid integer when `operator` is 'Lt' or 'Gt'"
                    errors.append(invalid(f"{here}.value", text(toleration, "value"), detail))
            case _:
                errors.append(unsupported(f"{here}.operator", operator, ("Equal", "Exists")))
        errors += checks.one_of(f"{here}.effect", effect, EFFECTS, needed=False)
    return errors


def validate_node_selector(selector: Json, path: str) -> list[FieldError]:
    """A NodeSelector: terms of which one must hold (pods' node affinity, volumes' node affinity)."""
    terms = objects(selector, "nodeSelectorTerms")
    if not terms:
        return [required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    errors = []
    for index, term in enumerate(terms):
        errors += _term(term, f"{path}.nodeSelectorTerms[{index}]")
    return errors


def _term(term: Json, path: str) -> list[FieldError]:
    errors = []
    for index, expression in enumerate(objects(term, "matchExpressions")):
        errors += _expression(expression, f"{path}.matchExpressions[{index}]")
    for index, expression in enumerate(objects(term, "matchFields")):
        here = f"{path}.matchFields[{index}]"
        values = strings(expression, "values")
        if text(expression, "operator") not in ("In", "NotIn"):
            errors.append(invalid(f"{here}.operator", text(expression, "operator"), "not a valid selector operator"))
        elif len(values) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(required(f"{here}.values", detail))
        if text(expression, "key") != "metadata.name":
            errors.append(invalid(f"{here}.key", text(expression, "key"), "not a valid field selector key"))
    return errors


def _expression(expression: Json, path: str) -> list[FieldError]:
    errors = []
    values = strings(expression, "values")
    match text(expression, "operator"):
        case "In" | "NotIn":
            if not values:
                errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        case "Exists" | "DoesNotExist":
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.append(forbidden(f"{path}.values", detail))
        case "Gt" | "Lt":
            if len(values) != 1:
                errors.append(
                    required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
                )
        case other:
            errors.append(invalid(f"{path}.operator", other, "not a valid selector operator"))
    errors += checks.named(f"{path}.key", text(expression, "key"), names.qualified_name_error)
    for index, value in enumerate(values):
        errors += checks.named(f"{path}.values[{index}]", value, names.label_value_error, needed=False)
    return errors


def _node_affinity(affinity: Json, path: str) -> list[FieldError]:
    errors = []
    if isinstance(affinity.get(_REQUIRED), dict):
        errors += validate_node_selector(affinity[_REQUIRED], f"{path}.{_REQUIRED}")
    for index, term in enumerate(objects(affinity, _PREFERRED)):
        here = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight(term, here)
        errors += _term(mapping(term, "preference"), f"{here}.preference")
    return errors


def _weight(term: Json, path: str) -> list[FieldError]:
    weight = term.get("weight", 0)
    return [] if 1 <= weight <= 100 else [invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _pod_affinity(affinity: Json, path: str) -> list[FieldError]:
    errors = []
    for index, term in enumerate(objects(affinity, _REQUIRED)):
        errors += _pod_term(term, f"{path}.{_REQUIRED}[{index}]")
    for index, term in enumerate(objects(affinity, _PREFERRED)):
        here = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight(term, here)
        errors += _pod_term(mapping(term, "podAffinityTerm"), f"{here}.podAffinityTerm")
    return errors


def _pod_term(term: Json, path: str) -> list[FieldError]:
    errors = []
    for key in ("labelSelector", "namespaceSelector"):
        if isinstance(term.get(key), dict):
            errors += checks.label_selector(f"{path}.{key}", term[key])
    for index, namespace in enumerate(strings(term, "namespaces")):
        errors += checks.named(f"{path}.namespaces[{index}]", namespace, names.label_error)
    topology = text(term, "topologyKey")
    return [
        *errors,
        *checks.named(f"{path}.topologyKey", topology, names.qualified_name_error, detail="can not be empty"),
    ]


def _spread(constraints: list[Json], path: str) -> list[FieldError]:
    errors = []
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        here = f"{path}[{index}]"
        when = text(constraint, "whenUnsatisfiable")
        topology = text(constraint, "topologyKey")
        if number(constraint, "maxSkew") <= 0:
            errors.append(invalid(f"{here}.maxSkew", number(constraint, "maxSkew"), "must be greater than zero"))
        errors += checks.named(f"{here}.topologyKey", topology, names.qualified_name_error, detail="can not be empty")
        if when not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.append(unsupported(f"{here}.whenUnsatisfiable", when, ("DoNotSchedule", "ScheduleAnyway")))
        if (topology, when) in seen:
            errors.append(duplicate(f"{here}.{{topologyKey, whenUnsatisfiable}}", f"{{{topology}, {when}}}"))
        seen.add((topology, when))
        errors += _spread_options(constraint, when, here)
    return errors


def _spread_options(constraint: Json, when: str, path: str) -> list[FieldError]:
    errors = []
    least = constraint.get("minDomains")
    if isinstance(least, int):
        if least <= 0:
            errors.append(invalid(f"{path}.minDomains", least, "must be greater than zero"))
        if when != "DoNotSchedule":
            detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
            errors.append(invalid(f"{path}.minDomains", least, detail))
    for key in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        errors += checks.one_of(f"{path}.{key}", text(constraint, key), ("Honor", "Ignore"), needed=False)
    if isinstance(constraint.get("labelSelector"), dict):
        errors += checks.label_selector(f"{path}.labelSelector", constraint["labelSelector"])
    return errors


def _is_whole(value: str) -> bool:
    return value.lstrip("-").isdecimal()
