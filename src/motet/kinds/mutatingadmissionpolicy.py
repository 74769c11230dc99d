"""Mutating admission policies: what is changed in what is written, said in expressions."""

from __future__ import annotations

from collections.abc import Iterator

from motet.base.errors import FieldError, forbidden, required
from motet.kinds import admissionrules, checks, policyrules
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Json, Kind
from motet.kinds.policyrules import VARIABLES
from motet.kinds.shape import fill_absent, mapping, objects, text

APPLY, PATCH = "ApplyConfiguration", "JSONPatch"
_MEMBERS = {APPLY: "applyConfiguration", PATCH: "jsonPatch"}


def default(document: Json) -> None:
    policyrules.default_policy(document)
    spec = document.get("spec")
    if isinstance(spec, dict):
        fill_absent(spec, "reinvocationPolicy", "Never")


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    return [*policyrules.validate_policy(spec, "spec"), *_own(spec, "spec")]


def _own(spec: Json, path: str) -> Iterator[FieldError]:
    yield from checks.one_of(f"{path}.reinvocationPolicy", text(spec, "reinvocationPolicy"), ("IfNeeded", "Never"))
    mutations = objects(spec, "mutations")
    if not mutations:
        yield required(f"{path}.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        here, kind = f"{path}.mutations[{index}]", text(mutation, "patchType")
        yield from checks.one_of(f"{here}.patchType", kind, tuple(_MEMBERS))
        for each, member in _MEMBERS.items():
            if each == kind and not isinstance(mutation.get(member), dict):
                yield required(f"{here}.{member}", f"must be specified when patchType is {kind}")
            elif each == kind:
                expression = text(mutation, member, "expression")
                yield from admissionrules.expression(expression, f"{here}.{member}.expression", VARIABLES)
            elif mutation.get(member) is not None:
                yield forbidden(f"{here}.{member}", f"may not be specified when patchType is {kind}")


KIND = Kind(
    group=admissionrules.GROUP,
    version="v1",
    kind="MutatingAdmissionPolicy",
    plural="mutatingadmissionpolicies",
    singular="mutatingadmissionpolicy",
    categories=("api-extensions",),
    namespaced=False,
    schema="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    default=default,
    validate=validate,
    generations=True,
    columns=(
        NAME,
        column("Mutations", lambda found: len(objects(found, "spec", "mutations")), type="integer", about="How many."),
        AGE,
    ),
)
