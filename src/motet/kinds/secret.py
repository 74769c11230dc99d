"""Secrets: configuration that is not to be seen."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    singular="secret",
    schema="io.k8s.api.core.v1.Secret",
    field_names=("type",),
)
