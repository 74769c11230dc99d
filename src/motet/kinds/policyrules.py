"""What admission policies and their bindings have in common: defaults and validation, in upstream's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from motet.base import names
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required, unsupported
from motet.kinds import admissionrules, checks
from motet.kinds.kind import Json
from motet.kinds.shape import fill_absent, mapping, objects, strings, text

# What expressions of policies can look at.
VARIABLES = ("authorizer", "namespaceObject", "object", "oldObject", "params", "request", "variables")
NOT_FOUND_ACTIONS = ("Allow", "Deny")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_API_VERSION = "must be in the format 'group/version' or 'version'"


def default_policy(document: Json) -> None:
    spec = mapping(document, "spec")
    if isinstance(document.get("spec"), dict):
        fill_absent(spec, "failurePolicy", "Fail")
        default_matching(spec.get("matchConstraints"))


def default_matching(matching: object) -> None:
    """A MatchResources: all objects in all namespaces, in whatever version."""
    if not isinstance(matching, dict):
        return
    fill_absent(matching, "matchPolicy", "Equivalent")
    fill_absent(matching, "namespaceSelector", {})
    fill_absent(matching, "objectSelector", {})
    for name in ("resourceRules", "excludeResourceRules"):
        admissionrules.default_rules(objects(matching, name))


def default_binding(document: Json) -> None:
    default_matching(mapping(document, "spec").get("matchResources"))


def validate_policy(spec: Json, path: str) -> Iterator[FieldError]:
    """What any policy's spec has: whom it is about, parameters, variables, conditions."""
    if "paramKind" in spec:
        yield from _param_kind(mapping(spec, "paramKind"), f"{path}.paramKind")
    matching = spec.get("matchConstraints")
    if not isinstance(matching, dict):
        yield required(f"{path}.matchConstraints")
    else:
        yield from matching_errors(matching, f"{path}.matchConstraints")
        if not objects(matching, "resourceRules"):
            yield required(f"{path}.matchConstraints.resourceRules")
    yield from checks.one_of(f"{path}.failurePolicy", text(spec, "failurePolicy"), admissionrules.FAILURE_POLICIES)
    conditions = objects(spec, "matchConditions")
    # Conditions are tried before there are variables.
    outside = tuple(name for name in VARIABLES if name != "variables")
    yield from admissionrules.match_conditions(conditions, f"{path}.matchConditions", outside)
    yield from _variables(objects(spec, "variables"), f"{path}.variables")


def _param_kind(kind: Json, path: str) -> Iterator[FieldError]:
    version, name = text(kind, "apiVersion"), text(kind, "kind")
    if not version:
        yield required(f"{path}.apiVersion")
    elif version.count("/") > 1:
        yield invalid(f"{path}.apiVersion", version, _API_VERSION)
    if not name:
        yield required(f"{path}.kind")
    elif problem := names.label_1035_error(name.lower()):
        yield invalid(f"{path}.kind", name, f"may have mixed case, but should otherwise match: {problem}")


def _variables(given: Sequence[Json], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, variable in enumerate(given):
        here, name = f"{path}[{index}]", text(variable, "name")
        if not name:
            yield required(f"{here}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name):
            yield invalid(f"{here}.name", name, "name is not a valid CEL identifier")
        if name in seen:
            yield duplicate(f"{here}.name", name)
        seen.add(name)
        yield from admissionrules.expression(text(variable, "expression"), f"{here}.expression", VARIABLES)


def matching_errors(matching: Json, path: str) -> Iterator[FieldError]:
    """A MatchResources."""
    yield from checks.one_of(
        f"{path}.matchPolicy", text(matching, "matchPolicy"), admissionrules.MATCH_POLICIES, needed=False
    )
    for name in ("namespaceSelector", "objectSelector"):
        yield from checks.label_selector(f"{path}.{name}", mapping(matching, name))
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(objects(matching, name)):
            here = f"{path}.{name}[{index}]"
            yield from admissionrules.rule_errors(rule, here)
            given = strings(rule, "resourceNames")
            for at, each in enumerate(given):
                if each in given[:at]:
                    yield duplicate(f"{here}.resourceNames[{at}]", each)


def validate_binding(spec: Json, path: str) -> Iterator[FieldError]:
    """What any binding's spec has."""
    yield from checks.named(f"{path}.policyName", text(spec, "policyName"), names.subdomain_error)
    if isinstance(spec.get("paramRef"), dict):
        yield from _param_ref(mapping(spec, "paramRef"), f"{path}.paramRef")
    if isinstance(spec.get("matchResources"), dict):
        yield from matching_errors(mapping(spec, "matchResources"), f"{path}.matchResources")


def _param_ref(reference: Json, path: str) -> Iterator[FieldError]:
    name, selector = text(reference, "name"), reference.get("selector")
    if name and selector is not None:
        yield forbidden(f"{path}.name", "name and selector are mutually exclusive")
    elif not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    if selector is not None:
        yield from checks.label_selector(f"{path}.selector", mapping(reference, "selector"))
    action = reference.get("parameterNotFoundAction")
    if action is None:
        yield required(f"{path}.parameterNotFoundAction")
    elif action not in NOT_FOUND_ACTIONS:
        yield unsupported(f"{path}.parameterNotFoundAction", action, NOT_FOUND_ACTIONS)
