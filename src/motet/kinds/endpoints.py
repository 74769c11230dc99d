"""Endpoints: the older form of endpoint slices."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    singular="endpoints",
    short_names=("ep",),
    schema="io.k8s.api.core.v1.Endpoints",
    create_on_update=True,
)
