"""What the two kinds of roles share: their rules."""

from __future__ import annotations

from motet.base.errors import FieldError, invalid, required
from motet.kinds.columns import NAME, column, text_at
from motet.kinds.kind import Json
from motet.kinds.shape import objects, strings


def validate_rules(document: Json, *, namespaced: bool) -> list[FieldError]:
    """Each rule is about resources or, in a ClusterRole, about paths."""
    errors = []
    for index, rule in enumerate(objects(document, "rules")):
        errors += _rule(rule, f"rules[{index}]", namespaced=namespaced)
    return errors


def _rule(rule: Json, path: str, *, namespaced: bool) -> list[FieldError]:
    errors = [] if strings(rule, "verbs") else [required(f"{path}.verbs", "verbs must contain at least one value")]
    urls = strings(rule, "nonResourceURLs")
    if urls:
        if namespaced:
            detail = "namespaced rules cannot apply to non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, detail))
        if any(strings(rule, part) for part in ("apiGroups", "resources", "resourceNames")):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, detail))
        return errors
    if not strings(rule, "apiGroups"):
        errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not strings(rule, "resources"):
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return errors


COLUMNS = (
    NAME,
    column("Created At", text_at("metadata", "creationTimestamp"), type="date", about="When the role was made."),
)
