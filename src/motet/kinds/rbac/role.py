"""Roles: what may be done within one namespace."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError
from motet.kinds.kind import Json, Kind
from motet.kinds.rbac import GROUP, VERSION
from motet.kinds.rbac.rules import COLUMNS, validate_rules


def validate(document: Json, old: Json | None) -> list[FieldError]:
    return validate_rules(document, namespaced=True)


KIND = Kind(
    group=GROUP,
    version=VERSION,
    kind="Role",
    plural="roles",
    singular="role",
    schema="io.k8s.api.rbac.v1.Role",
    validate=validate,
    name_error=names.segment_error,
    columns=COLUMNS,
)
