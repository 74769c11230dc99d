"""Volumes of a pod, and where its containers mount them."""

from __future__ import annotations

from collections.abc import Mapping

from motet.base import names
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.claimspec import validate_spec
from motet.kinds.kind import Json
from motet.kinds.podspec import environment
from motet.kinds.shape import mapping, objects, text

HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_MODE_MESSAGE = "must be a number between 0 and 0777 (octal), both inclusive"
_PROJECTIONS = (
    "secret", "downwardAPI", "configMap", "serviceAccountToken", "clusterTrustBundle", "podCertificate",
)  # fmt: skip
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def validate_volumes(spec: Json, path: str) -> list[FieldError]:
    """`spec.volumes`: names, and exactly one known source each."""
    errors = []
    seen: set[str] = set()
    for index, volume in enumerate(objects(spec, "volumes")):
        here = f"{path}.volumes[{index}]"
        name = text(volume, "name")
        errors += checks.named(f"{here}.name", name, names.label_error)
        if name and name in seen:
            errors.append(duplicate(f"{here}.name", name))
        seen.add(name)
        errors += validate_source(volume, here)
    return errors


def validate_source(volume: Json, path: str) -> list[FieldError]:
    """Exactly one source, and the rules of those that nodes know well."""
    given = [key for key, source in volume.items() if key != "name" and isinstance(source, dict)]
    if not given:
        return [required(path, "must specify a volume type")]
    errors = [forbidden(f"{path}.{extra}", "may not specify more than 1 volume type") for extra in given[1:]]
    kind = given[0]
    source = volume[kind]
    here = f"{path}.{kind}"
    match kind:
        case "emptyDir":
            if source.get("sizeLimit") is not None:
                errors += checks.amount(f"{here}.sizeLimit", source["sizeLimit"])
        case "hostPath":
            errors += validate_host_path(source, here)
        case "secret":
            if not text(source, "secretName"):
                errors.append(required(f"{here}.secretName"))
            errors += _files(source, here)
        case "configMap":
            if not text(source, "name"):
                errors.append(required(f"{here}.name"))
            errors += _files(source, here)
        case "downwardAPI":
            errors += _mode(source, "defaultMode", here) + _downward(source, here)
        case "projected":
            errors += _projected(source, here)
        case "persistentVolumeClaim":
            if not text(source, "claimName"):
                errors.append(required(f"{here}.claimName"))
        case "nfs":
            errors += _nfs(source, here)
        case "csi":
            if not text(source, "driver"):
                errors.append(required(f"{here}.driver"))
        case "ephemeral":
            errors += _ephemeral(source, here)
    return errors


def validate_host_path(source: Json, path: str) -> list[FieldError]:
    """A path of the node."""
    found = text(source, "path")
    errors = [] if found else [required(f"{path}.path")]
    if ".." in found.split("/"):
        errors.append(invalid(f"{path}.path", found, "must not contain '..'"))
    kind = text(source, "type")
    return [*errors, *checks.one_of(f"{path}.type", kind, HOST_PATH_TYPES, needed=False)]


def validate_mounts(container: Json, path: str, volumes: Mapping[str, Json]) -> list[FieldError]:
    """`volumeMounts` and `volumeDevices` of a container against the volumes of its pod."""
    errors = []
    paths: set[str] = set()
    for index, mount in enumerate(objects(container, "volumeMounts")):
        here = f"{path}.volumeMounts[{index}]"
        errors += _used(text(mount, "name"), f"{here}.name", volumes)
        target = text(mount, "mountPath")
        if not target:
            errors.append(required(f"{here}.mountPath"))
        elif target in paths:
            errors.append(invalid(f"{here}.mountPath", target, "must be unique"))
        paths.add(target)
        errors += _sub_paths(mount, here)
        errors += _propagation(mount, here, container)
    for index, device in enumerate(objects(container, "volumeDevices")):
        here = f"{path}.volumeDevices[{index}]"
        errors += _used(text(device, "name"), f"{here}.name", volumes)
        target = text(device, "devicePath")
        if not target:
            errors.append(required(f"{here}.devicePath"))
        elif target in paths:
            errors.append(invalid(f"{here}.devicePath", target, "must be unique"))
        paths.add(target)
    return errors


def inner_path(path: str, value: str) -> list[FieldError]:
    """A path inside a volume: relative, and not climbing out."""
    if value.startswith("/"):
        return [invalid(path, value, "must be a relative path")]
    return [invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def _used(name: str, path: str, volumes: Mapping[str, Json]) -> list[FieldError]:
    if not name:
        return [required(path)]
    return [] if name in volumes else [FieldError(path, "FieldValueNotFound", name)]


def _sub_paths(mount: Json, path: str) -> list[FieldError]:
    errors = []
    plain, expanded = text(mount, "subPath"), text(mount, "subPathExpr")
    errors += inner_path(f"{path}.subPath", plain)
    if expanded:
        if plain:
            errors.append(invalid(f"{path}.subPathExpr", expanded, "subPathExpr and subPath are mutually exclusive"))
        errors += inner_path(f"{path}.subPathExpr", expanded)
    return errors


def _propagation(mount: Json, path: str, container: Json) -> list[FieldError]:
    errors = checks.one_of(f"{path}.mountPropagation", text(mount, "mountPropagation"), _PROPAGATIONS, needed=False)
    privileged = mapping(container, "securityContext").get("privileged") is True
    if text(mount, "mountPropagation") == "Bidirectional" and not privileged:
        detail = "Bidirectional mount propagation is available only to privileged containers"
        errors.append(forbidden(f"{path}.mountPropagation", detail))
    recursive = text(mount, "recursiveReadOnly")
    errors += checks.one_of(f"{path}.recursiveReadOnly", recursive, ("Disabled", "Enabled", "IfPossible"), needed=False)
    if recursive in ("Enabled", "IfPossible") and mount.get("readOnly") is not True:
        errors.append(forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true"))
    return errors


def _mode(source: Json, key: str, path: str) -> list[FieldError]:
    mode = source.get(key)
    return [invalid(f"{path}.{key}", mode, _MODE_MESSAGE)] if isinstance(mode, int) and not 0 <= mode <= 0o777 else []


def _target(item: Json, path: str) -> list[FieldError]:
    value = text(item, "path")
    if not value:
        return [required(f"{path}.path")]
    errors = inner_path(f"{path}.path", value)
    if not errors and value.startswith(".."):
        errors.append(invalid(f"{path}.path", value, "must not start with '..'"))
    return errors


def _files(source: Json, path: str) -> list[FieldError]:
    errors = _mode(source, "defaultMode", path)
    for index, item in enumerate(objects(source, "items")):
        here = f"{path}.items[{index}]"
        if not text(item, "key"):
            errors.append(required(f"{here}.key"))
        errors += _target(item, here) + _mode(item, "mode", here)
    return errors


def _downward(source: Json, path: str) -> list[FieldError]:
    errors = []
    for index, item in enumerate(objects(source, "items")):
        here = f"{path}.items[{index}]"
        errors += _target(item, here) + _mode(item, "mode", here)
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if isinstance(field, dict):
            errors += environment.validate_field(field, f"{here}.fieldRef", environment.VOLUME_FIELDS)
            if isinstance(resource, dict):
                detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
                errors.append(invalid(here, "resource", detail))
        elif isinstance(resource, dict):
            errors += environment.validate_resource_field(resource, f"{here}.resourceFieldRef", volume=True)
        else:
            errors.append(required(here, "one of fieldRef and resourceFieldRef is required"))
    return errors


def _projected(source: Json, path: str) -> list[FieldError]:
    errors = _mode(source, "defaultMode", path)
    targets: set[str] = set()
    for index, projection in enumerate(objects(source, "sources")):
        here = f"{path}.sources[{index}]"
        given = [kind for kind in _PROJECTIONS if isinstance(projection.get(kind), dict)]
        if not given:
            errors.append(required(here, "must specify one of " + ", ".join(_PROJECTIONS)))
            continue
        errors += [
            forbidden(f"{here}.{extra}", "may not specify more than 1 volume type per source") for extra in given[1:]
        ]
        kind = given[0]
        inner = projection[kind]
        match kind:
            case "secret" | "configMap":
                errors += [] if text(inner, "name") else [required(f"{here}.{kind}.name")]
                errors += _files(inner, f"{here}.{kind}")
            case "downwardAPI":
                errors += _downward(inner, f"{here}.{kind}")
            case "serviceAccountToken":
                errors += _token(inner, f"{here}.{kind}")
        for item in [*objects(inner, "items"), inner]:
            target = text(item, "path")
            if target and target in targets:
                errors.append(invalid(f"{here}.{kind}", target, "conflicting duplicate paths"))
            targets.add(target)
    return errors


def _token(source: Json, path: str) -> list[FieldError]:
    errors = _target(source, path)
    seconds = source.get("expirationSeconds")
    if isinstance(seconds, int) and seconds < 600:
        errors.append(invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    return errors


def _ephemeral(source: Json, path: str) -> list[FieldError]:
    template = source.get("volumeClaimTemplate")
    here = f"{path}.volumeClaimTemplate"
    if not isinstance(template, dict):
        return [required(here)]
    metadata = mapping(template, "metadata")
    errors = [
        forbidden(f"{here}.metadata.{key}", "cannot be set")
        for key in ("name", "generateName", "namespace", "finalizers", "ownerReferences")
        if metadata.get(key)
    ]
    return [*errors, *validate_spec(mapping(template, "spec"), f"{here}.spec")]


def _nfs(source: Json, path: str) -> list[FieldError]:
    errors = [required(f"{path}.{key}") for key in ("server", "path") if not text(source, key)]
    if text(source, "path") and not text(source, "path").startswith("/"):
        errors.append(invalid(f"{path}.path", text(source, "path"), "must be an absolute path"))
    return errors
