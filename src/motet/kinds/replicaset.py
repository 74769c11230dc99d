"""Replica sets: so many pods of one template."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from motet.base.errors import FieldError
from motet.kinds import checks
from motet.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, column, number_at
from motet.kinds.kind import Json, Kind, Scale
from motet.kinds.podspec.defaults import default_template
from motet.kinds.shape import fill_absent, made, mapping
from motet.kinds.workload import selector_text, validate_selected_template
from motet.store.document import Document


def default(document: Json) -> None:
    spec = made(document, "spec")
    fill_absent(spec, "replicas", 1)
    default_template(made(spec, "template"))


def prepare_create(document: Json) -> None:
    document["status"] = {"replicas": 0}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = checks.not_negative(spec, "spec", "replicas", "minReadySeconds")
    errors += validate_selected_template(spec, "spec", "replicaset", label="ReplicaSet")
    if old is not None:
        errors += checks.unchanged("spec.selector", spec.get("selector"), mapping(old, "spec").get("selector"))
    return errors


class _Status(msgspec.Struct, gc=False, frozen=True):
    replicas: int | None = None


class _Fields(msgspec.Struct, gc=False, frozen=True):
    status: _Status = _Status()


def fields(document: Document) -> Mapping[str, str]:
    return {"status.replicas": str(document.view(_Fields).status.replicas or 0)}


KIND = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.ReplicaSet",
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
        SELECTOR,
    ),
)
