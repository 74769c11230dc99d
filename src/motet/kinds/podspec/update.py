"""What may still change once a pod exists: very little, because the node is already acting on the rest."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, text

_ALLOWED = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_change(spec: Json, old: Json, path: str = "spec") -> list[FieldError]:
    """Complaints about turning `old` into `spec`."""
    errors: list[FieldError] = []
    for key in ("containers", "initContainers"):
        if len(objects(spec, key)) != len(objects(old, key)):
            return [forbidden(f"{path}.{key}", "pod updates may not add or remove containers")]
        errors += [
            required(f"{path}.{key}[{index}].image")
            for index, container in enumerate(objects(spec, key))
            if not text(container, "image")
        ]
    errors += _deadline(spec, old, path)
    errors += _tolerations(spec, old, path)
    errors += _gates(spec, old, path)
    if errors:
        return errors
    rest, was = _plain(_without_changeable(spec, old)), _plain(old)
    return [] if rest == was else [forbidden(path, f"{_ALLOWED}; changed: {', '.join(_changed(rest, was))}")]


def _deadline(spec: Json, old: Json, path: str) -> list[FieldError]:
    new, was = spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    here = f"{path}.activeDeadlineSeconds"
    if was is None or new == was:
        return []
    if new is None:
        return [invalid(here, new, "must not update from a positive integer to nil value")]
    return [invalid(here, new, "must be less than or equal to previous value")] if new > was else []


def _tolerations(spec: Json, old: Json, path: str) -> list[FieldError]:
    def plain(toleration: Json) -> Json:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    kept = [plain(toleration) for toleration in objects(spec, "tolerations")]
    if all(plain(toleration) in kept for toleration in objects(old, "tolerations")):
        return []
    detail = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden(f"{path}.tolerations", detail)]


def _gates(spec: Json, old: Json, path: str) -> list[FieldError]:
    before = [text(gate, "name") for gate in objects(old, "schedulingGates")]
    return [
        forbidden(
            f"{path}.schedulingGates[{index}]", f"only deletion is allowed, but found new scheduling gate '{name}'"
        )
        for index, name in enumerate(text(gate, "name") for gate in objects(spec, "schedulingGates"))
        if name not in before
    ]


def _without_changeable(spec: Json, old: Json) -> Json:
    """The new specification with the old values where change is allowed."""
    rest = deepcopy(spec)
    for key in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _copy(old, rest, key)
    for key in ("containers", "initContainers"):
        for container, was in zip(objects(rest, key), objects(old, key), strict=True):
            _copy(was, container, "image")
    grace = old.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0 and rest.get("terminationGracePeriodSeconds") == 1:
        rest["terminationGracePeriodSeconds"] = grace
    if objects(old, "schedulingGates"):
        _tighten(rest, old)
    return rest


def _tighten(rest: Json, old: Json) -> None:
    """A pod held back by gates may still be given more node selector, and a first node affinity."""
    before = mapping(old, "nodeSelector")
    if all(mapping(rest, "nodeSelector").get(key) == value for key, value in before.items()):
        _copy(old, rest, "nodeSelector")
    if not mapping(old, "affinity", "nodeAffinity") and mapping(rest, "affinity").get("nodeAffinity"):
        rest["affinity"].pop("nodeAffinity")
        if not rest["affinity"]:
            _copy(old, rest, "affinity")


def _copy(source: Json, target: Json, key: str) -> None:
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)


def _plain(value: Any) -> Any:
    """Without nulls and empty lists, which mean the same as nothing."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None and item != []}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _changed(new: Json, old: Json) -> list[str]:
    return [f"`spec.{key}`" for key in sorted({*new, *old}) if new.get(key) != old.get(key)]
