"""Deployments: replica sets rolled from one revision to the next."""

from __future__ import annotations

from motet.kinds.kind import Kind, Scale

KIND = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    schema="io.k8s.api.apps.v1.Deployment",
    status=True,
    scale=Scale(),
)
