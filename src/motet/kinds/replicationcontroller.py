"""Replication controllers: what replica sets were first, with a plain map for a selector."""

from __future__ import annotations

from motet.base import selectors
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, column, number_at, plain_labels
from motet.kinds.kind import Json, Kind, Scale
from motet.kinds.podspec.defaults import default_template
from motet.kinds.podspec.spec import validate_template
from motet.kinds.replicaset import fields
from motet.kinds.shape import fill_absent, made, mapping


def default(document: Json) -> None:
    """The template's labels are the selector and the labels of the controller itself, unless these are given."""
    spec = made(document, "spec")
    fill_absent(spec, "replicas", 1)
    template = spec.get("template")
    if not isinstance(template, dict):
        return
    default_template(template)
    labels = mapping(template, "metadata").get("labels")
    metadata = made(document, "metadata")
    if isinstance(labels, dict) and labels:
        for place, key in ((spec, "selector"), (metadata, "labels")):
            if not place.get(key):
                place[key] = dict(labels)


def prepare_create(document: Json) -> None:
    document["status"] = {"replicas": 0}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = checks.not_negative(spec, "spec", "replicas", "minReadySeconds")
    selector, template = mapping(spec, "selector"), spec.get("template")
    if not selector:
        errors.append(required("spec.selector"))
    if not isinstance(template, dict):
        return [*errors, required("spec.template")]
    labels = mapping(template, "metadata", "labels")
    if selector and not selectors.from_map(selector).matches(labels):
        detail = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", labels, detail))
    errors += validate_template(template, "spec.template", ("Always",))
    if mapping(template, "spec").get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in ReplicationController is not Supported"
        errors.append(forbidden("spec.template.spec.activeDeadlineSeconds", detail))
    return errors


def selector_text(document: Json) -> str:
    """`spec.selector` as the scale subresource shows it."""
    return str(selectors.from_map(mapping(document, "spec", "selector")))


KIND = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    singular="replicationcontroller",
    short_names=("rc",),
    categories=("all",),
    schema="io.k8s.api.core.v1.ReplicationController",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    scale=Scale(selector=selector_text),
    fields=fields,
    field_names=("status.replicas",),
    columns=(
        NAME,
        column("Desired", number_at("spec", "replicas"), type="integer", about="Pods asked for."),
        column("Current", number_at("status", "replicas"), type="integer", about="Pods there are."),
        column("Ready", number_at("status", "readyReplicas"), type="integer", about="Pods that are ready."),
        AGE,
        CONTAINERS,
        IMAGES,
        column("Selector", lambda document: plain_labels(mapping(document, "spec", "selector")), wide=True),
    ),
)
