"""ClusterRoleBindings: who has a ClusterRole in the whole cluster."""

from __future__ import annotations

from motet.base import names
from motet.kinds.kind import Kind
from motet.kinds.rbac import GROUP, VERSION
from motet.kinds.rbac.bindings import COLUMNS, default, validator

KIND = Kind(
    group=GROUP,
    version=VERSION,
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    singular="clusterrolebinding",
    namespaced=False,
    schema="io.k8s.api.rbac.v1.ClusterRoleBinding",
    default=default,
    validate=validator(("ClusterRole",), namespaced=False),
    name_error=names.segment_error,
    columns=COLUMNS,
)
