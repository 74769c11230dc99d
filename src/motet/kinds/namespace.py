"""Namespaces: the walls between objects of the same name."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    singular="namespace",
    short_names=("ns",),
    namespaced=False,
    schema="io.k8s.api.core.v1.Namespace",
    status=True,
    subresources={"finalize": ("update",)},
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    field_names=("status.phase",),
)
