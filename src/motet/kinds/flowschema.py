"""FlowSchemas (flowcontrol.apiserver.k8s.io/v1): which requests belong to which level, and which of them are one flow."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required, unsupported
from motet.kinds import checks, flowcontrol
from motet.kinds.columns import AGE, NAME, NONE, column, number_at, text_at
from motet.kinds.flowcontrol import BY_NAMESPACE, BY_USER, DANGLING, EXEMPT
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_empty, mapping, number, objects, strings, text

_HIGHEST = 10_000
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
# The member that says who is meant, by the kind of a subject.
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_ANY = "*"


def default(document: Json) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict):
        fill_empty(spec, "matchingPrecedence", 1000)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec, name = mapping(document, "spec"), text(document, "metadata", "name")
    errors = _precedence(number(spec, "matchingPrecedence"), name)
    if spec.get("distinguisherMethod") is not None:
        method = text(spec, "distinguisherMethod", "type")
        if method not in (BY_NAMESPACE, BY_USER):
            errors.append(unsupported("spec.distinguisherMethod.type", method, (BY_NAMESPACE, BY_USER)))
    errors += checks.named(
        "spec.priorityLevelConfiguration.name",
        text(spec, "priorityLevelConfiguration", "name"),
        names.subdomain_error,
        detail="must reference a priority level",
    )
    for index, rule in enumerate(objects(spec, "rules")):
        errors += _rule(rule, f"spec.rules[{index}]")
    fixed = flowcontrol.MANDATORY_SCHEMAS.get(name)
    if fixed is not None and spec != fixed:
        errors.append(invalid("spec", spec, f"spec of '{name}' must equal the fixed value"))
    return errors + flowcontrol.conditions(document)


def _precedence(value: int, name: str) -> list[FieldError]:
    path = "spec.matchingPrecedence"
    if value <= 0:
        return [invalid(path, value, "must be a positive value")]
    if value > _HIGHEST:
        return [invalid(path, value, f"must not be greater than {_HIGHEST}")]
    if value == 1 and name != EXEMPT:
        return [invalid(path, value, "only the schema named 'exempt' may have matchingPrecedence 1")]
    return []


def _rule(rule: Json, path: str) -> list[FieldError]:
    errors = []
    subjects = objects(rule, "subjects")
    if not subjects:
        errors.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for index, subject in enumerate(subjects):
        errors += _subject(subject, f"{path}.subjects[{index}]")
    resources, paths = objects(rule, "resourceRules"), objects(rule, "nonResourceRules")
    if not resources and not paths:
        detail = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.append(required(path, detail))
    for index, each in enumerate(resources):
        errors += _resource_rule(each, f"{path}.resourceRules[{index}]")
    for index, each in enumerate(paths):
        errors += _path_rule(each, f"{path}.nonResourceRules[{index}]")
    return errors


def _subject(subject: Json, path: str) -> list[FieldError]:
    kind = text(subject, "kind")
    member = _SUBJECTS.get(kind)
    if member is None:
        return [unsupported(f"{path}.kind", kind, tuple(_SUBJECTS))]
    here = f"{path}.{member}"
    errors = []
    if subject.get(member) is None:
        errors.append(required(here, f"{member} is required when subject kind is '{kind}'"))
    else:
        errors += _who(mapping(subject, member), kind, here)
    for other_kind, other in _SUBJECTS.items():
        if other != member and subject.get(other) is not None:
            errors.append(forbidden(f"{path}.{other}", f"{other} is forbidden when subject kind is not '{other_kind}'"))
    return errors


def _who(who: Json, kind: str, path: str) -> list[FieldError]:
    name = text(who, "name")
    if kind != "ServiceAccount":
        return [] if name else [required(f"{path}.name")]
    errors = []
    if name != _ANY:
        errors += checks.named(f"{path}.name", name, names.subdomain_error)
    detail = "must specify namespace for service account"
    return errors + checks.named(f"{path}.namespace", text(who, "namespace"), names.label_error, detail=detail)


def _several(rule: Json, path: str, key: str, missing: str, others: str) -> list[FieldError]:
    """At least one value, and nothing beside a star."""
    values = strings(rule, key)
    if not values:
        return [required(f"{path}.{key}", missing)]
    if _ANY in values and len(values) > 1:
        return [invalid(f"{path}.{key}", values, f"if '*' is present, must not specify other {others}")]
    return []


def _verbs(rule: Json, path: str) -> list[FieldError]:
    errors = _several(rule, path, "verbs", "verbs must contain at least one value", "verbs")
    verbs = strings(rule, "verbs")
    if not errors and _ANY not in verbs and not set(verbs) <= set(_VERBS):
        errors.append(unsupported(f"{path}.verbs", verbs, _VERBS))
    return errors


def _resource_rule(rule: Json, path: str) -> list[FieldError]:
    errors = _verbs(rule, path)
    errors += _several(rule, path, "apiGroups", "resource rules must supply at least one api group", "api groups")
    errors += _several(rule, path, "resources", "resource rules must supply at least one resource", "resources")
    namespaces = strings(rule, "namespaces")
    if not namespaces and rule.get("clusterScope") is True:
        return errors
    missing = "resource rules that are not cluster scoped must supply at least one namespace"
    errors += _several(rule, path, "namespaces", missing, "namespaces")
    if _ANY not in namespaces:
        for index, namespace in enumerate(namespaces):
            if problem := names.label_error(namespace):
                detail = f"each member of this list must be '*' or a DNS-1123 label; {problem}"
                errors.append(invalid(f"{path}.namespaces[{index}]", namespace, detail))
    return errors


def _path_rule(rule: Json, path: str) -> list[FieldError]:
    errors = _verbs(rule, path)
    missing = "nonResourceURLs must contain at least one value"
    errors += _several(rule, path, "nonResourceURLs", missing, "non-resource URLs")
    urls = strings(rule, "nonResourceURLs")
    if _ANY not in urls:
        for index, url in enumerate(urls):
            if problem := _url_error(url):
                errors.append(invalid(f"{path}.nonResourceURLs[{index}]", url, problem))
    return errors


def _url_error(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count(_ANY)
    if stars > 1 or (stars and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def _missing_level(document: Json) -> str:
    for condition in objects(document, "status", "conditions"):
        if text(condition, "type") == DANGLING:
            return text(condition, "status") or "?"
    return "?"


KIND = Kind(
    group=flowcontrol.GROUP,
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    singular="flowschema",
    namespaced=False,
    schema="io.k8s.api.flowcontrol.v1.FlowSchema",
    status=True,
    default=default,
    validate=validate,
    columns=(
        NAME,
        column("PriorityLevel", text_at("spec", "priorityLevelConfiguration", "name"), about="Where its requests sit."),
        column(
            "MatchingPrecedence",
            number_at("spec", "matchingPrecedence"),
            type="integer",
            about="Of those that a request matches, the lowest counts.",
        ),
        column(
            "DistinguisherMethod",
            text_at("spec", "distinguisherMethod", "type", otherwise=NONE),
            about="What makes requests one flow.",
        ),
        AGE,
        column("MissingPL", _missing_level, about="Whether its level is not there."),
    ),
)
