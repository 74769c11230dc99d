"""What claims ask for, where they are objects and where they are templates: modes, size, class."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, required
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, strings, text

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def validate_spec(spec: Json, path: str) -> list[FieldError]:
    """A claim's specification, also where it is a template."""
    errors = validate_access_modes(strings(spec, "accessModes"), f"{path}.accessModes")
    if isinstance(spec.get("selector"), dict):
        errors += checks.label_selector(f"{path}.selector", spec["selector"])
    requests = mapping(spec, "resources", "requests")
    here = f"{path}.resources[storage]"
    if "storage" not in requests:
        errors.append(required(here))
    else:
        errors += checks.amount(here, requests["storage"], above_zero=True)
    errors += checks.named(
        f"{path}.storageClassName", text(spec, "storageClassName"), names.subdomain_error, needed=False
    )
    return [*errors, *checks.one_of(f"{path}.volumeMode", text(spec, "volumeMode"), VOLUME_MODES, needed=False)]


def validate_access_modes(modes: list[str], path: str) -> list[FieldError]:
    """At least one known mode, and the one-pod mode alone."""
    if not modes:
        return [required(path, "at least 1 access mode is required")]
    errors = []
    for mode in modes:
        errors += checks.one_of(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors
