"""Bindings of validating admission policies: where one counts, with which parameters, and what follows."""

from __future__ import annotations

from collections.abc import Iterator

from motet.base.errors import FieldError, duplicate, invalid, required, unsupported
from motet.kinds import admissionrules, policyrules
from motet.kinds.columns import AGE, NAME, UNSET, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, strings

ACTIONS = ("Audit", "Deny", "Warn")
_TWICE = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers "
    "serves no purpose)"
)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    return [*policyrules.validate_binding(spec, "spec"), *_actions(strings(spec, "validationActions"), "spec")]


def _actions(given: list[str], path: str) -> Iterator[FieldError]:
    at = f"{path}.validationActions"
    if not given:
        yield required(at, "at least one validation action is required")
    for index, action in enumerate(given):
        if action not in ACTIONS:
            yield unsupported(f"{at}[{index}]", action, ACTIONS)
        elif action in given[:index]:
            yield duplicate(f"{at}[{index}]", action)
    if {"Deny", "Warn"} <= set(given):
        yield invalid(at, given, _TWICE)


KIND = Kind(
    group=admissionrules.GROUP,
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    singular="validatingadmissionpolicybinding",
    categories=("api-extensions",),
    namespaced=False,
    schema="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    default=policyrules.default_binding,
    validate=validate,
    generations=True,
    columns=(
        NAME,
        column("PolicyName", text_at("spec", "policyName"), about="The policy that counts."),
        column("ParamRef", text_at("spec", "paramRef", "name", otherwise=UNSET), about="Its parameters."),
        AGE,
    ),
)
