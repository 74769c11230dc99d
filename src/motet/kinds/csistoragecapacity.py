"""CSI storage capacities: how much room a driver has for volumes of a class, by topology."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError
from motet.kinds import checks
from motet.kinds.columns import NAME, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import text


def validate(document: Json, old: Json | None) -> list[FieldError]:
    errors = checks.named("storageClassName", text(document, "storageClassName"), names.subdomain_error)
    if isinstance(document.get("nodeTopology"), dict):
        errors += checks.label_selector("nodeTopology", document["nodeTopology"])
    for key in ("capacity", "maximumVolumeSize"):
        if document.get(key) is not None:
            errors += checks.amount(key, document[key])
    if old is not None:
        for key in ("nodeTopology", "storageClassName"):
            errors += checks.unchanged(key, document.get(key), old.get(key))
    return errors


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    singular="csistoragecapacity",
    schema="io.k8s.api.storage.v1.CSIStorageCapacity",
    validate=validate,
    columns=(
        NAME,
        column("StorageClassName", text_at("storageClassName"), about="The class."),
        column("Capacity", text_at("capacity"), about="How much room there is."),
    ),
)
