"""Apps, Motet's own kind: what a person means by "run this", replicated or on every node."""

from __future__ import annotations

from motet.kinds.kind import Kind, Scale

KIND = Kind(
    group="motet.dev",
    version="v1",
    kind="App",
    plural="apps",
    singular="app",
    categories=("all",),
    schema="dev.motet.v1.App",
    status=True,
    scale=Scale(spec_replicas="spec.mode.replicated.replicas"),
)
