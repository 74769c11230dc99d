"""Persistent volumes: pieces of storage."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.claimspec import VOLUME_MODES, validate_access_modes
from motet.kinds.columns import AGE, NAME, UNSET, access_modes, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.podspec.scheduling import validate_node_selector
from motet.kinds.podspec.volumes import validate_host_path
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, strings, text

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_SOURCES = (
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker",
    "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk", "portworxVolume",
    "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
)  # fmt: skip
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"

# The node a volume's data lies on, if it lies on one: by this label an agent selects its own.
NODE_LABEL = "motet.dev/node"


def storage_class(document: Json) -> str:
    """The class of a volume or claim; the annotation is how it was said before there was a field."""
    return text(document, "metadata", "annotations", CLASS_ANNOTATION) or text(document, "spec", "storageClassName")


def default(document: Json) -> None:
    spec = made(document, "spec")
    fill_empty(spec, "persistentVolumeReclaimPolicy", "Retain")
    fill_absent(spec, "volumeMode", "Filesystem")
    if isinstance(spec.get("hostPath"), dict):
        fill_absent(spec["hostPath"], "type", "")
    fill_empty(made(document, "status"), "phase", "Pending")


def prepare_create(document: Json) -> None:
    document["status"] = {"phase": "Pending"}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    errors = validate_access_modes(strings(spec, "accessModes"), "spec.accessModes")
    errors += _capacity(spec)
    errors += checks.one_of(
        "spec.persistentVolumeReclaimPolicy", text(spec, "persistentVolumeReclaimPolicy"), RECLAIM_POLICIES
    )
    errors += checks.one_of("spec.volumeMode", text(spec, "volumeMode"), VOLUME_MODES)
    errors += checks.named("spec.storageClassName", text(spec, "storageClassName"), names.subdomain_error, needed=False)
    errors += _source(spec)
    affinity = mapping(spec, "nodeAffinity")
    if affinity:
        if isinstance(affinity.get("required"), dict):
            errors += validate_node_selector(affinity["required"], "spec.nodeAffinity.required")
        else:
            errors.append(required("spec.nodeAffinity.required", "must specify required node constraints"))
    if old is not None:
        errors += _kept(spec, mapping(old, "spec"))
    return errors


def _capacity(spec: Json) -> list[FieldError]:
    capacity = mapping(spec, "capacity")
    if not capacity:
        return [required("spec.capacity")]
    errors = []
    if "storage" not in capacity or len(capacity) > 1:
        errors.append(FieldError("spec.capacity", "FieldValueNotSupported", capacity, 'supported values: "storage"'))
    for key, value in capacity.items():
        errors += checks.amount(f"spec.capacity[{key}]", value, above_zero=True)
    return errors


def _source(spec: Json) -> list[FieldError]:
    given = [kind for kind in _SOURCES if isinstance(spec.get(kind), dict)]
    if not given:
        return [required("spec", "must specify a volume type")]
    errors = [forbidden(f"spec.{extra}", "may not specify more than 1 volume type") for extra in given[1:]]
    source = spec[given[0]]
    match given[0]:
        case "hostPath":
            errors += validate_host_path(source, "spec.hostPath")
            if text(source, "path") == "/" and text(spec, "persistentVolumeReclaimPolicy") == "Recycle":
                detail = "may not be 'recycle' for a hostPath mount of '/'"
                errors.append(forbidden("spec.persistentVolumeReclaimPolicy", detail))
        case "local":
            if not text(source, "path"):
                errors.append(required("spec.local.path"))
            elif ".." in text(source, "path").split("/"):
                errors.append(invalid("spec.local.path", text(source, "path"), "must not contain '..'"))
            if not mapping(spec, "nodeAffinity"):
                errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
        case "nfs":
            errors += [required(f"spec.nfs.{key}") for key in ("server", "path") if not text(source, key)]
        case "csi":
            errors += [required(f"spec.csi.{key}") for key in ("driver", "volumeHandle") if not text(source, key)]
    return errors


def _kept(spec: Json, was: Json) -> list[FieldError]:
    errors = []
    if any(spec.get(kind) != was.get(kind) for kind in _SOURCES):
        detail = "spec.persistentvolumesource is immutable after creation"
        errors.append(forbidden("spec.persistentvolumesource", detail))
    errors += checks.unchanged("spec.volumeMode", spec.get("volumeMode"), was.get("volumeMode"))
    if was.get("nodeAffinity"):
        errors += checks.unchanged("spec.nodeAffinity", spec.get("nodeAffinity"), was["nodeAffinity"])
    return errors


def phase(document: Json) -> str:
    """What STATUS shows of a volume or claim."""
    return "Terminating" if text(document, "metadata", "deletionTimestamp") else text(document, "status", "phase")


def _claim(document: Json) -> str:
    claim = mapping(document, "spec", "claimRef")
    return f"{text(claim, 'namespace')}/{text(claim, 'name')}" if claim else ""


KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    singular="persistentvolume",
    short_names=("pv",),
    namespaced=False,
    schema="io.k8s.api.core.v1.PersistentVolume",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Capacity", text_at("spec", "capacity", "storage", otherwise="0"), about="How much it holds."),
        column("Access Modes", lambda document: access_modes(document, "spec", "accessModes"), about="Who may use it."),
        column("Reclaim Policy", text_at("spec", "persistentVolumeReclaimPolicy"), about="What becomes of it."),
        column("Status", phase, about="Whether it is bound."),
        column("Claim", _claim, about="The claim it is bound to."),
        column("StorageClass", storage_class, about="Its class."),
        column(
            "VolumeAttributesClass",
            text_at("spec", "volumeAttributesClassName", otherwise=UNSET),
            about="Its attributes class.",
        ),
        column("Reason", text_at("status", "reason"), about="Why it is in this state."),
        AGE,
        column("VolumeMode", text_at("spec", "volumeMode", otherwise=UNSET), wide=True, about="Filesystem or Block."),
    ),
)
