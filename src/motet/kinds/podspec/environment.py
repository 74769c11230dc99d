"""Environment variables and the references they may take their values from."""

from __future__ import annotations

import re

from motet.base import names
from motet.base.errors import FieldError, invalid, required, unsupported
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, text

# Fields of its pod that a container may see in a variable, and in a downward API volume.
VARIABLE_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
RESOURCE_FIELDS = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
NAME_MESSAGE = "a valid environment variable name must consist only of printable ASCII characters other than '='"

_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['([^']*)'\]")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def variable_name_error(name: str) -> str:
    """Why this is no name of a variable, or an empty string."""
    return "" if name and all(" " <= ch <= "~" and ch != "=" for ch in name) else NAME_MESSAGE


def validate_environment(container: Json, path: str) -> list[FieldError]:
    """`env` and `envFrom` of a container."""
    errors = []
    for index, variable in enumerate(objects(container, "env")):
        here = f"{path}.env[{index}]"
        errors += checks.named(f"{here}.name", text(variable, "name"), variable_name_error)
        if isinstance(variable.get("valueFrom"), dict):
            errors += _value_from(variable, f"{here}.valueFrom")
    for index, source in enumerate(objects(container, "envFrom")):
        errors += _env_from(source, f"{path}.envFrom[{index}]")
    return errors


def validate_field(reference: Json, path: str, allowed: tuple[str, ...]) -> list[FieldError]:
    """A `fieldRef`."""
    errors = []
    if not text(reference, "apiVersion"):
        errors.append(required(f"{path}.apiVersion"))
    field_path = text(reference, "fieldPath")
    if not field_path:
        return [*errors, required(f"{path}.fieldPath")]
    if subscript := _SUBSCRIPT.fullmatch(field_path):
        key = subscript[2] if subscript[1] == "metadata.labels" else subscript[2].lower()
        if problem := names.qualified_name_error(key):
            errors.append(invalid(path, field_path, problem))
        return errors
    if field_path in allowed:
        return errors
    if field_path in VARIABLE_FIELDS or field_path in VOLUME_FIELDS:
        return [*errors, unsupported(f"{path}.fieldPath", field_path, allowed)]
    detail = f"error converting fieldPath: field label not supported: {field_path}"
    return [*errors, invalid(f"{path}.fieldPath", field_path, detail)]


def validate_resource_field(reference: Json, path: str, *, volume: bool) -> list[FieldError]:
    """A `resourceFieldRef`; in a volume it has to say whose."""
    errors = []
    if volume and not text(reference, "containerName"):
        errors.append(required(f"{path}.containerName"))
    resource = text(reference, "resource")
    if not resource:
        errors.append(required(f"{path}.resource"))
    elif resource not in RESOURCE_FIELDS and not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        errors.append(unsupported(f"{path}.resource", resource, RESOURCE_FIELDS))
    elif (divisor := reference.get("divisor")) is not None:
        errors += checks.amount(f"{path}.divisor", divisor)
    return errors


def validate_key(reference: Json, path: str) -> list[FieldError]:
    """A `configMapKeyRef` or `secretKeyRef`."""
    errors = checks.named(f"{path}.name", text(reference, "name"), names.subdomain_error)
    key = text(reference, "key")
    return [*errors, *(checks.config_key(f"{path}.key", key) if key else [required(f"{path}.key")])]


def _value_from(variable: Json, path: str) -> list[FieldError]:
    source = mapping(variable, "valueFrom")
    given = [kind for kind in _SOURCES if isinstance(source.get(kind), dict)]
    if not given:
        return [
            invalid(
                path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            )
        ]
    if text(variable, "value"):
        return [invalid(path, "", "may not be specified when `value` is not empty")]
    if len(given) > 1:
        return [invalid(path, "", "may not have more than one field specified at a time")]
    reference = source[given[0]]
    here = f"{path}.{given[0]}"
    match given[0]:
        case "fieldRef":
            return validate_field(reference, here, VARIABLE_FIELDS)
        case "resourceFieldRef":
            return validate_resource_field(reference, here, volume=False)
        case "fileKeyRef":
            return [required(f"{here}.{key}") for key in ("volumeName", "path", "key") if not text(reference, key)]
        case _:
            return validate_key(reference, here)


def _env_from(source: Json, path: str) -> list[FieldError]:
    errors = []
    if (prefix := text(source, "prefix")) and (problem := variable_name_error(prefix)):
        errors.append(invalid(f"{path}.prefix", prefix, problem))
    given = [kind for kind in ("configMapRef", "secretRef") if isinstance(source.get(kind), dict)]
    if not given:
        return [*errors, invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")]
    if len(given) > 1:
        return [*errors, invalid(path, "", "may not have more than one field specified at a time")]
    reference = source[given[0]]
    return [*errors, *checks.named(f"{path}.{given[0]}.name", text(reference, "name"), names.subdomain_error)]
