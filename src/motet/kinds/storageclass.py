"""Storage classes: how volumes are made."""

from __future__ import annotations

from typing import Any

from motet.base import names
from motet.base.errors import FieldError, forbidden
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, UNSET, column, text_at
from motet.kinds.kind import Column, Json, Kind
from motet.kinds.shape import fill_absent, mapping, text

DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
_OLD_DEFAULT_ANNOTATION = "storageclass.beta.kubernetes.io/is-default-class"
RECLAIM_POLICIES = ("Delete", "Retain")
# Bytes of all parameter keys and values together.
_MAX_PARAMETERS_SIZE = 256 * 1024


def is_default(document: Json) -> bool:
    """Claims that name no class get this one."""
    annotations = mapping(document, "metadata", "annotations")
    return any(annotations.get(key) == "true" for key in (DEFAULT_ANNOTATION, _OLD_DEFAULT_ANNOTATION))


def default(document: Json) -> None:
    fill_absent(document, "reclaimPolicy", "Delete")
    fill_absent(document, "volumeBindingMode", "Immediate")


def validate(document: Json, old: Json | None) -> list[FieldError]:
    errors = checks.named("provisioner", text(document, "provisioner").lower(), names.qualified_name_error)
    parameters: dict[str, Any] = mapping(document, "parameters")
    if sum(len(key) + len(str(value)) for key, value in parameters.items()) > _MAX_PARAMETERS_SIZE:
        errors.append(checks.too_long("parameters", _MAX_PARAMETERS_SIZE))
    errors += checks.one_of("reclaimPolicy", text(document, "reclaimPolicy"), RECLAIM_POLICIES)
    errors += checks.one_of(
        "volumeBindingMode", text(document, "volumeBindingMode"), ("Immediate", "WaitForFirstConsumer")
    )
    if old is not None:
        for key in ("parameters", "provisioner", "reclaimPolicy"):
            if (document.get(key) or None) != (old.get(key) or None):
                errors.append(forbidden(key, f"updates to {key} are forbidden."))
        errors += checks.unchanged(
            "volumeBindingMode", text(document, "volumeBindingMode"), text(old, "volumeBindingMode")
        )
    return errors


def _name(document: Json) -> str:
    return text(document, "metadata", "name") + (" (default)" if is_default(document) else "")


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    singular="storageclass",
    short_names=("sc",),
    namespaced=False,
    schema="io.k8s.api.storage.v1.StorageClass",
    default=default,
    validate=validate,
    columns=(
        Column("Name", lambda document, now: _name(document), format="name", description=NAME.description),
        column("Provisioner", text_at("provisioner"), about="Who makes its volumes."),
        column("ReclaimPolicy", text_at("reclaimPolicy", otherwise="Delete"), about="What becomes of them."),
        column("VolumeBindingMode", text_at("volumeBindingMode", otherwise=UNSET), about="When they are made."),
        column(
            "AllowVolumeExpansion",
            lambda document: document.get("allowVolumeExpansion") is True,
            about="Whether they can grow.",
        ),
        AGE,
    ),
)
