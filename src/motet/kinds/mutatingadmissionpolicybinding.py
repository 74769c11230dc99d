"""Bindings of mutating admission policies: where one counts, and with which parameters."""

from __future__ import annotations

from motet.base.errors import FieldError
from motet.kinds import admissionrules, policyrules
from motet.kinds.columns import AGE, NAME, UNSET, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping


def validate(document: Json, old: Json | None) -> list[FieldError]:
    return list(policyrules.validate_binding(mapping(document, "spec"), "spec"))


KIND = Kind(
    group=admissionrules.GROUP,
    version="v1",
    kind="MutatingAdmissionPolicyBinding",
    plural="mutatingadmissionpolicybindings",
    singular="mutatingadmissionpolicybinding",
    categories=("api-extensions",),
    namespaced=False,
    schema="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
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
