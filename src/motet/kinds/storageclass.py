"""Storage classes: how volumes are made."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    singular="storageclass",
    short_names=("sc",),
    namespaced=False,
    schema="io.k8s.api.storage.v1.StorageClass",
)
