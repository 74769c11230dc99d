"""Namespaces: the walls between objects of the same name."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from motet.base import names
from motet.base.errors import FieldError, invalid
from motet.kinds.columns import AGE, NAME, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_empty, made, mapping, strings, text
from motet.store.document import Document

# The finalizer that keeps a namespace until everything in it is gone. It lives in spec, not in metadata.
FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"


def default(document: Json) -> None:
    if name := text(document, "metadata", "name"):
        made(document, "metadata", "labels")[NAME_LABEL] = name
    fill_empty(made(document, "status"), "phase", "Active")


def prepare_create(document: Json) -> None:
    finalizers = strings(document, "spec", "finalizers")
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    made(document, "spec")["finalizers"] = finalizers
    document["status"] = {"phase": "Active"}


def prepare_update(document: Json, old: Json) -> None:
    """An ordinary update leaves the finalizers alone: `finalize` is the way to change them."""
    document["spec"] = dict(mapping(old, "spec"))


def validate(document: Json, old: Json | None) -> list[FieldError]:
    errors = []
    for finalizer in strings(document, "spec", "finalizers"):
        problem = names.qualified_name_error(finalizer)
        if not problem and "/" not in finalizer and finalizer != FINALIZER:
            problem = "name is neither a standard finalizer name nor is it fully qualified"
        if problem:
            errors.append(invalid("spec.finalizers", finalizer, problem))
    return errors


class _Status(msgspec.Struct, gc=False, frozen=True):
    phase: str | None = None


class _Fields(msgspec.Struct, gc=False, frozen=True):
    status: _Status = _Status()


def fields(document: Document) -> Mapping[str, str]:
    return {"status.phase": document.view(_Fields).status.phase or ""}


KIND = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    singular="namespace",
    short_names=("ns",),
    namespaced=False,
    schema="io.k8s.api.core.v1.Namespace",
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    name_error=names.label_error,
    status=True,
    subresources={"finalize": ("update",)},
    fields=fields,
    field_names=("status.phase",),
    columns=(NAME, column("Status", text_at("status", "phase"), about="Active or Terminating."), AGE),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
)
