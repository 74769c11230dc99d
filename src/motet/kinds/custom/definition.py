"""Custom resource definitions: kinds that users add while the cluster runs (apiextensions.k8s.io)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from motet.base.errors import FieldError, invalid
from motet.base.timestamps import format_time
from motet.kinds import clientconfig
from motet.kinds.columns import NAME, column
from motet.kinds.custom import approval, spec
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, objects, strings, text

GROUP = "apiextensions.k8s.io"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
ESTABLISHED, NAMES_ACCEPTED, TERMINATING = "Established", "NamesAccepted", "Terminating"
TRUE, FALSE = "True", "False"


def default(document: Json) -> None:
    wanted = made(document, "spec")
    names = made(wanted, "names")
    kind = text(names, "kind")
    if kind:
        fill_empty(names, "singular", kind.lower())
        fill_empty(names, "listKind", f"{kind}List")
    fill_empty(made(wanted, "conversion"), "strategy", "None")
    for told in objects(document, "status", "conditions"):
        # Nobody upstream looks whether these are there; Go has them empty then.
        fill_absent(told, "type", "")
        fill_absent(told, "status", "")
    config = mapping(wanted, "conversion", "webhook").get("clientConfig")
    if isinstance(config, dict):
        clientconfig.default(config)


def prepare_create(document: Json) -> None:
    document["status"] = {
        "acceptedNames": {"kind": "", "plural": ""},
        "conditions": [],
        "storedVersions": [storage] if (storage := storage_version(document)) else [],
    }


def prepare_update(document: Json, old: Json) -> None:
    """A version that objects are stored in from now on joins those that some may be stored in."""
    status = mapping(document, "status")
    stored, storage = strings(status, "storedVersions"), storage_version(document)
    if storage and storage not in stored:
        document["status"] = {**status, "storedVersions": [*stored, storage]}


def prepare_delete(document: Json, now: datetime) -> None:
    """The instances go first; the finalizer keeps the definition until they are gone."""
    metadata = document["metadata"]
    if FINALIZER not in strings(metadata, "finalizers"):
        metadata["finalizers"] = [*strings(metadata, "finalizers"), FINALIZER]
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    set_condition(document, Condition(TERMINATING, TRUE, "InstanceDeletionPending", message), now)


def storage_version(document: Json) -> str:
    """The version that objects are stored in."""
    return next((text(each, "name") for each in objects(document, "spec", "versions") if each.get("storage")), "")


def validate(document: Json, old: Json | None) -> list[FieldError]:
    wanted = mapping(document, "spec")
    errors: list[FieldError] = []
    if old is None:
        name = text(document, "metadata", "name")
        if name != f"{text(wanted, 'names', 'plural')}.{text(wanted, 'group')}":
            errors.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    before = mapping(old, "spec") if old is not None else {}
    if wanted != before:
        errors += spec.validate(wanted)
    if old is not None:
        errors += spec.validate_update(wanted, before, established=condition(old, ESTABLISHED) == TRUE)
    errors += spec.resource_names(mapping(document, "status", "acceptedNames"), "status.acceptedNames")
    return [*errors, *_stored_versions(document), *approval.validate(document, old)]


def _stored_versions(document: Json) -> list[FieldError]:
    path, stored = "status.storedVersions", strings(document, "status", "storedVersions")
    if not stored:
        return [invalid(path, stored, "must have at least one stored version")]
    errors = []
    known = {text(version, "name") for version in objects(document, "spec", "versions")}
    storage = storage_version(document)
    if storage and storage not in stored:
        errors.append(invalid(path, stored, f"must have the storage version {storage}"))
    errors += [
        invalid(f"{path}[{index}]", version, "must appear in spec.versions")
        for index, version in enumerate(stored)
        if version not in known
    ]
    return errors


def condition(document: Json, type: str) -> str:
    """The status of a condition, empty when there is none."""
    found = (each for each in objects(document, "status", "conditions") if each.get("type") == type)
    return next((text(each, "status") for each in found), "")


class Condition(NamedTuple):
    """What is said of a definition."""

    type: str
    status: str
    reason: str
    message: str


def set_condition(document: Json, wanted: Condition, now: datetime) -> None:
    """Say it, in place; the time of transition changes only with the status."""
    status = made(document, "status")
    before = objects(status, "conditions")
    old = next((each for each in before if each.get("type") == wanted.type), None)
    since = format_time(now)
    if old is not None and old.get("status") == wanted.status and old.get("lastTransitionTime"):
        since = old["lastTransitionTime"]
    told = {"lastTransitionTime": since, **wanted._asdict()}
    status["conditions"] = [told if each is old else each for each in before] if old is not None else [*before, told]


KIND = Kind(
    group=GROUP,
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    singular="customresourcedefinition",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    schema="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    prepare_delete=prepare_delete,
    validate=validate,
    status=True,
    any_finalizers=True,
    columns=(
        NAME,
        column(
            "Created At",
            lambda document: text(document, "metadata", "creationTimestamp"),
            type="date",
            about="When it was created.",
        ),
    ),
)
