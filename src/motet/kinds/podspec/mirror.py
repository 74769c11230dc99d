"""Mirror pods: what the API shows of a pod that a node runs from a file of its own (Kubernetes "Static Pods")."""

from __future__ import annotations

from motet.kinds.kind import Json
from motet.kinds.shape import mapping

MIRROR = "kubernetes.io/config.mirror"


def is_mirror(document: Json) -> bool:
    """Whether a pod is the reflection of a file, which nobody can change through the API."""
    return MIRROR in mapping(document, "metadata", "annotations")
