"""CSI drivers: what Kubernetes has to know of a driver for volumes (name, how it wants to be called)."""

from __future__ import annotations

from collections.abc import Callable

from motet.base import names
from motet.base.errors import FieldError, duplicate, invalid
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, UNSET, column
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_absent, made, mapping, objects, strings, text

FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLE_MODES = ("Ephemeral", "Persistent")
_LONGEST_NAME = 63
_LEAST_PERIOD = 10
_DEFAULTS = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "requiresRepublish": False,
    "seLinuxMount": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
}


def name_errors(path: str, name: str) -> list[FieldError]:
    """The name of a driver, as the CSI specification has it."""
    if len(name) > _LONGEST_NAME:
        return [checks.too_long(path, _LONGEST_NAME)]
    return checks.named(path, name.lower(), names.subdomain_error)


def default(document: Json) -> None:
    spec = made(document, "spec")
    for key, value in _DEFAULTS.items():
        fill_absent(spec, key, value)
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    errors = name_errors("metadata.name", text(document, "metadata", "name"))
    errors += checks.one_of("spec.fsGroupPolicy", text(spec, "fsGroupPolicy"), FS_GROUP_POLICIES)
    for mode in strings(spec, "volumeLifecycleModes"):
        errors += checks.one_of("spec.volumeLifecycleModes", mode, LIFECYCLE_MODES)
    errors += _tokens(spec)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if isinstance(period, int) and period < _LEAST_PERIOD:
        detail = f"must be greater than or equal to {_LEAST_PERIOD} seconds"
        errors.append(invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail))
    if old is not None:
        was = mapping(old, "spec")
        for key in ("attachRequired", "volumeLifecycleModes"):
            errors += checks.unchanged(f"spec.{key}", spec.get(key), was.get(key))
    return errors


def _tokens(spec: Json) -> list[FieldError]:
    errors = []
    seen: set[str] = set()
    for index, token in enumerate(objects(spec, "tokenRequests")):
        path = f"spec.tokenRequests[{index}]"
        audience, seconds = text(token, "audience"), token.get("expirationSeconds")
        if audience in seen:
            errors.append(duplicate(f"{path}.audience", audience))
        seen.add(audience)
        if isinstance(seconds, int) and seconds < 600:
            detail = "may not specify a duration less than 10 minutes"
            errors.append(invalid(f"{path}.expirationSeconds", seconds, detail))
        elif isinstance(seconds, int) and seconds > 1 << 32:
            detail = "may not specify a duration larger than 2^32 seconds"
            errors.append(invalid(f"{path}.expirationSeconds", seconds, detail))
    return errors


def _audiences(document: Json) -> str:
    tokens = objects(document, "spec", "tokenRequests")
    return ",".join(text(token, "audience") for token in tokens) if tokens else UNSET


def _modes(document: Json) -> str:
    return ",".join(strings(document, "spec", "volumeLifecycleModes")) or NONE


def _flag(key: str) -> Callable[[Json], bool]:
    return lambda document: mapping(document, "spec").get(key) is True


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    singular="csidriver",
    namespaced=False,
    schema="io.k8s.api.storage.v1.CSIDriver",
    default=default,
    validate=validate,
    columns=(
        NAME,
        column(
            "AttachRequired",
            _flag("attachRequired"),
            about="Whether volumes are attached to nodes.",
        ),
        column(
            "PodInfoOnMount",
            _flag("podInfoOnMount"),
            about="Whether the driver is told of the pod.",
        ),
        column(
            "StorageCapacity",
            _flag("storageCapacity"),
            about="Whether room is looked at before placing.",
        ),
        column("TokenRequests", _audiences, about="For whom the pod's tokens are that the driver gets."),
        column(
            "RequiresRepublish",
            _flag("requiresRepublish"),
            about="Whether it is called again and again.",
        ),
        column(
            "Modes",
            _modes,
            about="Persistent volumes, or those of a pod.",
        ),
        AGE,
    ),
)
