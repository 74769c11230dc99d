"""Replica sets: so many pods of one template."""

from __future__ import annotations

from motet.kinds.kind import Kind, Scale

KIND = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.ReplicaSet",
    status=True,
    scale=Scale(),
    field_names=("status.replicas",),
)
