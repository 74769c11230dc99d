"""Groups that belong to the Kubernetes community need its approval (or say that they have none): KEP-1111."""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import urlsplit

from motet.base.errors import FieldError, invalid, required
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, text

ANNOTATION = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"
_PATH = f"metadata.annotations[{ANNOTATION}]"


class Approval(NamedTuple):
    """The state as the condition KubernetesAPIApprovalPolicyConformant tells it."""

    conformant: bool
    reason: str
    message: str


def is_protected(group: str) -> bool:
    """Whether a group is the community's."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def state(annotation: str) -> Approval:
    """What the annotation of a protected group says."""
    if not annotation:
        message = f'protected groups must have approval annotation "{ANNOTATION}", {_SEE}'
        return Approval(False, "MissingAnnotation", message)
    if annotation.startswith("unapproved"):
        return Approval(False, "UnapprovedAnnotation", f"not approved: {json.dumps(annotation)}")
    try:
        parts = urlsplit(annotation)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme and parts.netloc:
        return Approval(True, "ApprovedAnnotation", f"approved in {annotation}")
    message = (
        f'protected groups must have approval annotation "{ANNOTATION}" with either a URL or a reason starting with '
        f'"unapproved", {_SEE}'
    )
    return Approval(False, "InvalidAnnotation", message)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    """A protected group needs the annotation; one that had it wrong may keep it wrong."""
    if not is_protected(text(document, "spec", "group")):
        return []
    annotation = text(mapping(document, "metadata"), "annotations", ANNOTATION)
    found = state(annotation)
    if old is not None:
        before = state(text(mapping(old, "metadata"), "annotations", ANNOTATION))
        if before.reason == found.reason:
            return []
    if found.reason == "MissingAnnotation":
        return [required(_PATH, found.message)]
    return [invalid(_PATH, annotation, found.message)] if found.reason == "InvalidAnnotation" else []
