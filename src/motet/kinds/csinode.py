"""CSI nodes: which drivers are on a node, and what the node is called by them."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, duplicate, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column, size_of
from motet.kinds.csidriver import name_errors
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, objects, strings, text

_LONGEST_ID = 256


def validate(document: Json, old: Json | None) -> list[FieldError]:
    if old is not None and mapping(document, "spec") == mapping(old, "spec"):
        return []
    errors = []
    seen: set[str] = set()
    was = {text(driver, "name"): driver for driver in objects(old or {}, "spec", "drivers")}
    for index, driver in enumerate(objects(document, "spec", "drivers")):
        path = f"spec.drivers[{index}]"
        name = text(driver, "name")
        errors += name_errors(f"{path}.name", name)
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        errors += _driver(driver, path)
        if name in was and _fixed(was[name]) != _fixed(driver):
            errors.append(invalid(path, driver, checks.IMMUTABLE))
    return errors


def _fixed(driver: Json) -> tuple[str, list[str]]:
    return text(driver, "nodeID"), strings(driver, "topologyKeys")


def _driver(driver: Json, path: str) -> list[FieldError]:
    identity = text(driver, "nodeID")
    errors = [] if identity else [required(f"{path}.nodeID")]
    if len(identity) > _LONGEST_ID:
        errors.append(checks.too_long(f"{path}.nodeID", _LONGEST_ID))
    errors += checks.not_negative(mapping(driver, "allocatable"), f"{path}.allocatable", "count")
    keys = strings(driver, "topologyKeys")
    for key in keys:
        errors += checks.named(f"{path}.topologyKeys", key, names.qualified_name_error)
    if len(set(keys)) < len(keys):
        errors.append(duplicate(f"{path}.topologyKeys", next(key for key in keys if keys.count(key) > 1)))
    return errors


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    singular="csinode",
    namespaced=False,
    schema="io.k8s.api.storage.v1.CSINode",
    validate=validate,
    columns=(NAME, column("Drivers", size_of("spec", "drivers"), type="integer", about="How many are there."), AGE),
)
