"""Persistent volumes: pieces of storage."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    singular="persistentvolume",
    short_names=("pv",),
    namespaced=False,
    schema="io.k8s.api.core.v1.PersistentVolume",
    status=True,
)
