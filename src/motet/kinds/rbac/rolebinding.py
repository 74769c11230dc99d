"""RoleBindings: who has a role within one namespace."""

from __future__ import annotations

from motet.base import names
from motet.kinds.kind import Kind
from motet.kinds.rbac import GROUP, VERSION
from motet.kinds.rbac.bindings import COLUMNS, default, validator

KIND = Kind(
    group=GROUP,
    version=VERSION,
    kind="RoleBinding",
    plural="rolebindings",
    singular="rolebinding",
    schema="io.k8s.api.rbac.v1.RoleBinding",
    default=default,
    validate=validator(("Role", "ClusterRole"), namespaced=True),
    name_error=names.segment_error,
    columns=COLUMNS,
)
