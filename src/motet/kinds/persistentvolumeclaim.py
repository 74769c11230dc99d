"""Persistent volume claims: requests for storage."""

from __future__ import annotations

from copy import deepcopy

from motet.base import quantity
from motet.base.errors import FieldError, forbidden
from motet.kinds.claimspec import validate_spec
from motet.kinds.columns import AGE, NAME, UNSET, access_modes, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.persistentvolume import phase, storage_class
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, text

_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def default(document: Json) -> None:
    fill_absent(made(document, "spec"), "volumeMode", "Filesystem")
    fill_empty(made(document, "status"), "phase", "Pending")


def prepare_create(document: Json) -> None:
    document["status"] = {"phase": "Pending"}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    errors = validate_spec(spec, "spec")
    if old is not None:
        errors += _kept(document, old)
    return errors


def _kept(document: Json, old: Json) -> list[FieldError]:
    """The specification stays, but for what binding sets, and for a bound claim that asks for more."""
    spec, was = deepcopy(mapping(document, "spec")), mapping(old, "spec")
    errors = []
    if not was.get("volumeName"):
        _take(was, spec, "volumeName")
    if was.get("storageClassName") is None:
        _take(was, spec, "storageClassName")
    if text(old, "status", "phase") == "Bound":
        _take(was, spec, "volumeAttributesClassName")
        asked = mapping(spec, "resources", "requests").get("storage")
        held = mapping(old, "status", "capacity").get("storage")
        before = mapping(was, "resources", "requests").get("storage")
        if asked != before and asked is not None:
            if held is not None and _size(asked) < _size(held):
                detail = "field can not be less than status.capacity"
                errors.append(forbidden("spec.resources.requests.storage", detail))
            made(spec, "resources", "requests")["storage"] = before
    return errors if spec == was else [*errors, forbidden("spec", _FIXED)]


def _take(source: Json, target: Json, key: str) -> None:
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)


def _size(value: object) -> int:
    try:
        return quantity.whole(str(value))
    except ValueError:
        return 0


def _capacity(document: Json) -> str:
    if not text(document, "spec", "volumeName"):
        return ""
    return text(document, "status", "capacity", "storage") or "0"


def _modes(document: Json) -> str:
    return access_modes(document, "status", "accessModes") if text(document, "spec", "volumeName") else ""


KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    singular="persistentvolumeclaim",
    short_names=("pvc",),
    schema="io.k8s.api.core.v1.PersistentVolumeClaim",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Status", phase, about="Whether it is bound."),
        column("Volume", text_at("spec", "volumeName"), about="The volume it is bound to."),
        column("Capacity", _capacity, about="How much that volume holds."),
        column("Access Modes", _modes, about="Who may use it."),
        column("StorageClass", storage_class, about="Its class."),
        column(
            "VolumeAttributesClass",
            text_at("spec", "volumeAttributesClassName", otherwise=UNSET),
            about="Its attributes class.",
        ),
        AGE,
        column("VolumeMode", text_at("spec", "volumeMode", otherwise=UNSET), wide=True, about="Filesystem or Block."),
    ),
)
