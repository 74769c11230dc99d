"""Policies with their bindings as the documents describe them, read once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from motet.api.conditions import Condition, conditions
from motet.api.matching import Matching
from motet.base import selectors
from motet.base.selectors import Selector
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, strings, text


@dataclass(frozen=True, slots=True)
class Reference:
    """Which parameters a binding means: those of a name, or else those that `selector` takes."""

    name: str
    namespace: str
    selector: Selector
    # Whether it refuses when there are none.
    needed: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a policy counts. `actions`: what follows when a validating one is not kept."""

    name: str
    policy: str
    matching: Matching
    params: Reference | None
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """What has to be true, and what is said when it is not."""

    expression: str
    message: str
    message_expression: str
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy with those bindings that name it. `fails`: what cannot be evaluated refuses.

    `mutations` are kinds of patches with the expression that makes each; `again`: they are made once more when others
    changed the object.
    """

    name: str
    matching: Matching
    conditions: tuple[Condition, ...]
    variables: Mapping[str, str]
    # API version and kind of its parameters; empty when it takes none.
    params: tuple[str, str]
    fails: bool
    validations: tuple[Validation, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    mutations: tuple[tuple[str, str], ...] = ()
    again: bool = False
    bindings: tuple[Binding, ...] = ()


def policy(document: Json, bindings: Iterable[Binding]) -> Policy:
    """From the document. Raises ValueError."""
    name, spec = text(document, "metadata", "name"), mapping(document, "spec")
    kind = mapping(spec, "paramKind")
    return Policy(
        name=name,
        matching=Matching.of(mapping(spec, "matchConstraints"), "resourceRules"),
        conditions=conditions(objects(spec, "matchConditions")),
        variables={text(each, "name"): text(each, "expression") for each in objects(spec, "variables")},
        params=(text(kind, "apiVersion"), text(kind, "kind")),
        fails=spec.get("failurePolicy") != "Ignore",
        validations=tuple(_validation(each) for each in objects(spec, "validations")),
        annotations=tuple(
            (text(each, "key"), text(each, "valueExpression")) for each in objects(spec, "auditAnnotations")
        ),
        mutations=tuple(_mutation(each) for each in objects(spec, "mutations")),
        again=spec.get("reinvocationPolicy") == "IfNeeded",
        bindings=tuple(binding for binding in bindings if binding.policy == name),
    )


def _validation(found: Json) -> Validation:
    return Validation(
        text(found, "expression").strip(),
        text(found, "message").strip(),
        text(found, "messageExpression"),
        text(found, "reason") or "Invalid",
    )


def _mutation(found: Json) -> tuple[str, str]:
    patch = mapping(found, "applyConfiguration") or mapping(found, "jsonPatch")
    return text(found, "patchType"), text(patch, "expression")


def binding(document: Json) -> Binding:
    """From the document. Raises ValueError."""
    spec = mapping(document, "spec")
    resources = {"namespaceSelector": {}, "objectSelector": {}, **mapping(spec, "matchResources")}
    reference = mapping(spec, "paramRef")
    return Binding(
        name=text(document, "metadata", "name"),
        policy=text(spec, "policyName"),
        matching=Matching.of(resources, "resourceRules"),
        params=_reference(reference) if reference else None,
        actions=tuple(strings(spec, "validationActions")),
    )


def _reference(found: Json) -> Reference:
    return Reference(
        name=text(found, "name"),
        namespace=text(found, "namespace"),
        selector=selectors.from_document(mapping(found, "selector")),
        needed=found.get("parameterNotFoundAction") == "Deny",
    )
