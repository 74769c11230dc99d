"""What may stand in `metadata` of any object (upstream: apimachinery's object meta validation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import attachments, checks, imagehealth, processes
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, objects, strings, text

# Bytes of all annotation keys and values together.
MAX_ANNOTATIONS_SIZE = 256 * 1024
# Finalizers without a domain that upstream still knows.
_OLD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
# Annotations that Motet reads, and that therefore have a form.
_READ: Mapping[str, Callable[[str], object]] = {
    attachments.ANNOTATION: lambda value: attachments.parse(value, ""),
    processes.LIMIT: processes.parse,
    imagehealth.ANNOTATION: imagehealth.parse,
}
# Controllers that may own nothing.
_BANNED_OWNERS = frozenset({("v1", "Event")})


def validate_metadata(document: Json, kind: Kind) -> list[FieldError]:
    """Complaints about a new object's metadata; the name is checked by the kind's own rule."""
    metadata = mapping(document, "metadata")
    return [
        *_names(metadata, kind),
        *validate_labels(metadata, "metadata"),
        *_finalizers(metadata, strict=not kind.any_finalizers),
        *_owners(metadata),
    ]


def validate_metadata_update(document: Json, old: Json, kind: Kind) -> list[FieldError]:
    """Complaints about a changed object's metadata: identity stays, and no finalizer joins an object being deleted."""
    errors = validate_metadata(document, kind)
    new, was = mapping(document, "metadata"), mapping(old, "metadata")
    for key in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(key) != was.get(key):
            errors.append(invalid(f"metadata.{key}", new.get(key), checks.IMMUTABLE))
    if was.get("deletionTimestamp"):
        added = sorted(set(strings(new, "finalizers")) - set(strings(was, "finalizers")))
        if added:
            listed = ", ".join(f'"{finalizer}"' for finalizer in added)
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers [{listed}]"
            errors.append(forbidden("metadata.finalizers", detail))
    return errors


def validate_labels(metadata: Json, path: str) -> list[FieldError]:
    """Labels and annotations, of an object or of a template."""
    errors = checks.labels(f"{path}.labels", mapping(metadata, "labels"))
    annotations: dict[str, Any] = mapping(metadata, "annotations")
    for key in annotations:
        # Annotation keys may have upper case in their domain, label keys may not.
        if problem := names.qualified_name_error(key.lower()):
            errors.append(invalid(f"{path}.annotations", key, problem))
    for key, parse in _READ.items():
        value = annotations.get(key)
        if isinstance(value, str):
            try:
                parse(value)
            except ValueError as error:
                errors.append(invalid(f"{path}.annotations[{key}]", value, str(error)))
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS_SIZE:
        errors.append(checks.too_long(f"{path}.annotations", MAX_ANNOTATIONS_SIZE))
    return errors


def _names(metadata: Json, kind: Kind) -> list[FieldError]:
    why = kind.name_error or names.subdomain_error
    errors: list[FieldError] = []
    if base := text(metadata, "generateName"):
        # A dash or dot at the end is what a generated suffix will follow.
        problem = why(base[:-1] + "a" if base[-1] in "-." else base)
        if problem:
            errors.append(invalid("metadata.generateName", base, problem))
    name = text(metadata, "name")
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    elif problem := why(name):
        errors.append(invalid("metadata.name", name, problem))
    namespace = text(metadata, "namespace")
    if kind.namespaced:
        errors += checks.named("metadata.namespace", namespace, names.label_error)
    elif namespace:
        errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    return errors


def _finalizers(metadata: Json, *, strict: bool) -> list[FieldError]:
    errors = []
    for finalizer in strings(metadata, "finalizers"):
        if problem := names.qualified_name_error(finalizer):
            errors.append(invalid("metadata.finalizers", finalizer, problem))
        elif strict and "/" not in finalizer and finalizer not in _OLD_FINALIZERS:
            problem = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid("metadata.finalizers", finalizer, problem))
    present = set(strings(metadata, "finalizers"))
    if {"orphan", "foregroundDeletion"} <= present:
        errors.append(
            invalid(
                "metadata.finalizers",
                sorted(present),
                "finalizer orphan and foregroundDeletion cannot be both set",
            )
        )
    return errors


def _owners(metadata: Json) -> list[FieldError]:
    errors = []
    controller = ""
    for index, owner in enumerate(objects(metadata, "ownerReferences")):
        path = f"metadata.ownerReferences[{index}]"
        for key, detail in (
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ):
            if not text(owner, key):
                errors.append(invalid(f"{path}.{key}", text(owner, key), detail))
        if (text(owner, "apiVersion"), text(owner, "kind")) in _BANNED_OWNERS:
            detail = f"{text(owner, 'kind')} is disallowed from being an owner"
            errors.append(invalid("metadata.ownerReferences", owner, detail))
        if owner.get("controller") is True:
            if controller:
                detail = (
                    f'Only one reference can have Controller set to true. Found "true" in references for {controller} '
                    f"and {text(owner, 'name')}"
                )
                errors.append(invalid("metadata.ownerReferences", owner, detail))
            controller = text(owner, "name")
    return errors
