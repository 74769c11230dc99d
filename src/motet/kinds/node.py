"""Nodes: machines that run pods."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    singular="node",
    short_names=("no",),
    namespaced=False,
    schema="io.k8s.api.core.v1.Node",
    status=True,
    field_names=("spec.unschedulable",),
)
