"""What containers ask for and may use at most, and the quality-of-service class that follows from it."""

from __future__ import annotations

from fractions import Fraction

from motet.base import names, quantity
from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects

STANDARD = ("cpu", "memory", "ephemeral-storage")
_QUALITY = ("cpu", "memory")


def validate_resources(resources: Json, path: str, standard: tuple[str, ...] = STANDARD) -> list[FieldError]:
    """`requests` and `limits` of a container, or of a whole pod."""
    limits, requests = mapping(resources, "limits"), mapping(resources, "requests")
    errors = []
    for key, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            here = f"{path}.{key}[{name}]"
            errors += _name(name, here, standard)
            errors += checks.amount(here, value)
            if _extended(name) and (found := _value(value)) is not None and found.denominator != 1:
                errors.append(invalid(here, value, "must be an integer"))
    for name, value in requests.items():
        asked, limit = _value(value), _value(limits.get(name))
        if asked is None:
            continue
        if _whole(name):
            if limit is None:
                errors.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
            elif asked != limit:
                detail = f"must be equal to {name} limit of {limits[name]}"
                errors.append(invalid(f"{path}.requests", value, detail))
        elif limit is not None and asked > limit:
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            errors.append(invalid(f"{path}.requests", value, detail))
    return errors


def validate_amounts(amounts: Json, path: str) -> list[FieldError]:
    """A plain list of resources, such as `overhead`."""
    errors = []
    for name, value in amounts.items():
        errors += _name(name, f"{path}[{name}]", STANDARD)
        errors += checks.amount(f"{path}[{name}]", value)
    return errors


def quality_of_service(spec: Json) -> str:
    """Guaranteed: every container limits CPU and memory and asks for just that. BestEffort: none asks. Else Burstable."""
    pod_level = mapping(spec, "resources")
    if mapping(pod_level, "requests") or mapping(pod_level, "limits"):
        holders = [pod_level]
    else:
        holders = [
            mapping(item, "resources") for key in ("containers", "initContainers") for item in objects(spec, key)
        ]
    asked = limited = False
    guaranteed = bool(holders)
    for holder in holders:
        requests = {name: _value(value) or 0 for name, value in mapping(holder, "requests").items() if name in _QUALITY}
        limits = {name: _value(value) or 0 for name, value in mapping(holder, "limits").items() if name in _QUALITY}
        asked = asked or any(requests.values())
        limited = limited or any(limits.values())
        complete = all(limits.get(name) for name in _QUALITY)
        guaranteed = (
            guaranteed and complete and all(requests.get(name, limits[name]) == limits[name] for name in _QUALITY)
        )
    if not asked and not limited:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _name(name: str, path: str, standard: tuple[str, ...]) -> list[FieldError]:
    if problem := names.qualified_name_error(name):
        return [invalid(path, name, problem)]
    if "/" in name or name in standard or name.startswith("hugepages-"):
        return []
    return [
        invalid(path, name, "must be a standard resource type or fully qualified"),
        invalid(path, name, "must be a standard resource for containers"),
    ]


def _extended(name: str) -> bool:
    return "/" in name and "kubernetes.io/" not in name


def _whole(name: str) -> bool:
    return _extended(name) or name.startswith("hugepages-")


def _value(value: object) -> Fraction | None:
    try:
        return quantity.parse(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None
