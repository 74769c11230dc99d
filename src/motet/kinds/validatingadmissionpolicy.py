"""Validating admission policies: what may be written, said in expressions."""

from __future__ import annotations

from collections.abc import Iterator

from motet.base import names
from motet.base.errors import FieldError, duplicate, invalid, required, unsupported
from motet.kinds import admissionrules, policyrules
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Json, Kind
from motet.kinds.policyrules import VARIABLES
from motet.kinds.shape import mapping, objects, text

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")


def prepare_create(document: Json) -> None:
    document["status"] = {}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    return [*policyrules.validate_policy(spec, "spec"), *_own(spec, "spec")]


def _own(spec: Json, path: str) -> Iterator[FieldError]:
    validations, annotations = objects(spec, "validations"), objects(spec, "auditAnnotations")
    if not validations and not annotations:
        detail = "validations or auditAnnotations must contain at least one item"
        yield required(f"{path}.validations", detail)
        yield required(f"{path}.auditAnnotations", detail)
    for index, validation in enumerate(validations):
        yield from _validation(validation, f"{path}.validations[{index}]")
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        here, key = f"{path}.auditAnnotations[{index}]", text(annotation, "key")
        if not key:
            yield required(f"{here}.key")
        elif problem := names.qualified_name_error(f"policy/{key}"):
            yield invalid(f"{here}.key", key, problem)
        if key in seen:
            yield duplicate(f"{here}.key", key)
        seen.add(key)
        yield from admissionrules.expression(text(annotation, "valueExpression"), f"{here}.valueExpression", VARIABLES)


def _validation(validation: Json, path: str) -> Iterator[FieldError]:
    expression, message = text(validation, "expression"), text(validation, "message")
    if not expression.strip():
        yield required(f"{path}.expression", "expression is not specified")
    else:
        yield from admissionrules.expression(expression, f"{path}.expression", VARIABLES)
    if message and not message.strip():
        yield invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        yield invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in expression.strip() and not message:
        yield required(f"{path}.message", "message must be specified if expression contains line breaks")
    if given := text(validation, "messageExpression"):
        yield from admissionrules.expression(given, f"{path}.messageExpression", VARIABLES)
    if (reason := validation.get("reason")) is not None and reason not in REASONS:
        yield unsupported(f"{path}.reason", reason, REASONS)


def _param_kind(document: Json) -> str:
    kind = mapping(document, "spec", "paramKind")
    return f"{text(kind, 'apiVersion')}/{text(kind, 'kind')}" if kind else "<unset>"


KIND = Kind(
    group=admissionrules.GROUP,
    version="v1",
    kind="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    singular="validatingadmissionpolicy",
    categories=("api-extensions",),
    namespaced=False,
    schema="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    default=policyrules.default_policy,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column(
            "Validations", lambda found: len(objects(found, "spec", "validations")), type="integer", about="How many."
        ),
        column("ParamKind", _param_kind, about="What parameterizes it."),
        AGE,
    ),
)
