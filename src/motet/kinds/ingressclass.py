"""Ingress classes: who serves an Ingress."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_absent, mapping, text

DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
# What serves Ingresses of a class with this controller: every node of Motet.
OURS = "motet.dev/ingress"
_LONGEST_CONTROLLER = 250


def is_default(document: Json) -> bool:
    """Ingresses that name no class get this one."""
    return mapping(document, "metadata", "annotations").get(DEFAULT_ANNOTATION) == "true"


def default(document: Json) -> None:
    parameters = mapping(document, "spec", "parameters")
    if parameters:
        fill_absent(parameters, "scope", "Cluster")


def validate(document: Json, old: Json | None) -> list[FieldError]:
    controller = text(document, "spec", "controller")
    if old is not None and controller != text(old, "spec", "controller"):
        return [invalid("spec.controller", controller, checks.IMMUTABLE)]
    if len(controller) > _LONGEST_CONTROLLER:
        return [checks.too_long("spec.controller", _LONGEST_CONTROLLER)]
    errors = []
    host, _, path = controller.partition("/")
    if not path or names.subdomain_error(host):
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        errors.append(invalid("spec.controller", controller, detail) if controller else required("spec.controller"))
    return errors + _parameters(mapping(document, "spec").get("parameters"))


def _parameters(parameters: object) -> list[FieldError]:
    if not isinstance(parameters, dict):
        return []
    path = "spec.parameters"
    errors = [required(f"{path}.{key}") for key in ("kind", "name") if not text(parameters, key)]
    scope, namespace = text(parameters, "scope"), parameters.get("namespace")
    errors += checks.one_of(f"{path}.scope", scope, ("Cluster", "Namespace"))
    if scope == "Namespace" and not namespace:
        errors.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
    if scope == "Cluster" and namespace is not None:
        errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return errors


def _shown(document: Json) -> str:
    parameters = mapping(document, "spec", "parameters")
    if not parameters:
        return NONE
    group = text(parameters, "apiGroup")
    kind = f"{text(parameters, 'kind')}.{group}" if group else text(parameters, "kind")
    return f"{kind}/{text(parameters, 'name')}"


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    singular="ingressclass",
    namespaced=False,
    schema="io.k8s.api.networking.v1.IngressClass",
    default=default,
    validate=validate,
    columns=(
        NAME,
        column("Controller", text_at("spec", "controller"), about="Who serves Ingresses of this class."),
        column("Parameters", _shown, about="What else the controller is told."),
        AGE,
    ),
)
