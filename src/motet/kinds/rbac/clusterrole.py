"""ClusterRoles: what may be done in the whole cluster, or in each namespace where a RoleBinding names it.

One with an `aggregationRule` has its rules from others, which a controller gathers.
"""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, required
from motet.kinds import checks
from motet.kinds.kind import Json, Kind
from motet.kinds.rbac import GROUP, VERSION
from motet.kinds.rbac.rules import COLUMNS, validate_rules
from motet.kinds.shape import mapping, objects


def validate(document: Json, old: Json | None) -> list[FieldError]:
    errors = validate_rules(document, namespaced=False)
    if not isinstance(document.get("aggregationRule"), dict):
        return errors
    path = "aggregationRule.clusterRoleSelectors"
    selectors = objects(mapping(document, "aggregationRule"), "clusterRoleSelectors")
    if not selectors:
        errors.append(required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
    for index, selector in enumerate(selectors):
        errors += checks.label_selector(f"{path}[{index}]", selector)
    return errors


KIND = Kind(
    group=GROUP,
    version=VERSION,
    kind="ClusterRole",
    plural="clusterroles",
    singular="clusterrole",
    namespaced=False,
    schema="io.k8s.api.rbac.v1.ClusterRole",
    validate=validate,
    name_error=names.segment_error,
    columns=COLUMNS,
)
