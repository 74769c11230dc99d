"""Leases: who leads, and which node is alive."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    singular="lease",
    schema="io.k8s.api.coordination.v1.Lease",
    create_on_update=True,
)
