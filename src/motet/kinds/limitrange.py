"""LimitRanges: what single pods, containers and claims of a namespace may ask for, and what they ask for when they say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from motet.base import names, quantity
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.columns import column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import made, mapping, objects, text

CONTAINER, POD, CLAIM = "Container", "Pod", "PersistentVolumeClaim"
_AMOUNTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
# What may be lent twice; of all else request and limit are one.
_OVERCOMMITTED = ("cpu", "memory", "ephemeral-storage", "storage")


def default(document: Json) -> None:
    """A container's limit is the maximum, its request the limit, and failing both the minimum, unless said otherwise."""
    for limit in objects(document, "spec", "limits"):
        if text(limit, "type") != CONTAINER:
            continue
        for target, source in (("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")):
            given = mapping(limit, source)
            if given:
                amounts = made(limit, target)
                for name, amount in given.items():
                    amounts.setdefault(name, amount)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    errors = []
    seen: set[str] = set()
    for index, limit in enumerate(objects(document, "spec", "limits")):
        path = f"spec.limits[{index}]"
        kind = text(limit, "type")
        errors += _type(kind, f"{path}.type")
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        errors += _limit(limit, kind, path)
    return errors


def _type(kind: str, path: str) -> list[FieldError]:
    errors = checks.named(path, kind, names.qualified_name_error)
    if not errors and "/" not in kind and kind not in (CONTAINER, POD, CLAIM):
        errors.append(invalid(path, kind, "must be a standard limit type or fully qualified"))
    return errors


def _limit(limit: Json, kind: str, path: str) -> list[FieldError]:
    errors = []
    if kind == POD:
        errors += [
            forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            for field in ("default", "defaultRequest")
            if mapping(limit, field)
        ]
    if kind == CLAIM and "storage" not in mapping(limit, "min") and "storage" not in mapping(limit, "max"):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{path}.limits", detail))
    values: dict[str, dict[str, Fraction]] = {}
    for field in _AMOUNTS:
        values[field] = {}
        for name, amount in mapping(limit, field).items():
            problems = checks.amount(f"{path}.{field}[{name}]", amount)
            errors += problems + checks.named(f"{path}.{field}[{name}]", name, names.qualified_name_error)
            if not problems:
                values[field][name] = quantity.parse(amount)
    for name in sorted({name for each in values.values() for name in each}):
        errors += _one_resource(limit, values, name, path)
    return errors


# (smaller, larger, whose path complains, the words): upstream's, in its order.
_ORDERED = (
    ("min", "max", "min", "min value {0} is greater than max value {1}"),
    ("min", "defaultRequest", "defaultRequest", "min value {0} is greater than default request value {1}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {0} is greater than max value {1}"),
    ("defaultRequest", "default", "defaultRequest", "default request value {0} is greater than default limit value {1}"),
    ("min", "default", "default", "min value {0} is greater than default value {1}"),
    ("default", "max", "default", "default value {0} is greater than max value {1}"),
)  # fmt: skip


def _one_resource(limit: Json, values: Mapping[str, Mapping[str, Fraction]], name: str, path: str) -> list[FieldError]:
    def shown(field: str) -> Any:
        return mapping(limit, field)[name]

    errors = []
    for low, high, whose, words in _ORDERED:
        if name in values[low] and name in values[high] and values[low][name] > values[high][name]:
            detail = words.format(shown(low), shown(high))
            errors.append(invalid(f"{path}.{whose}[{name}]", shown(whose), detail))
    ratio = values["maxLimitRequestRatio"].get(name)
    where = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio is not None and ratio < 1:
        errors.append(
            invalid(where, shown("maxLimitRequestRatio"), f"ratio {shown('maxLimitRequestRatio')} is less than 1")
        )
    least, most = values["min"].get(name), values["max"].get(name)
    if ratio is not None and least and most is not None and ratio > most / least:
        detail = f"ratio {shown('maxLimitRequestRatio')} is greater than max/min = {float(most / least):f}"
        errors.append(invalid(where, shown("maxLimitRequestRatio"), detail))
    given, asked = values["default"].get(name), values["defaultRequest"].get(name)
    if name not in _OVERCOMMITTED and given is not None and asked is not None and given != asked:
        detail = (
            f"default value {shown('default')} must equal to defaultRequest value {shown('defaultRequest')} in {name}"
        )
        errors.append(invalid(f"{path}.defaultRequest[{name}]", shown("defaultRequest"), detail))
    return errors


KIND = Kind(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    singular="limitrange",
    short_names=("limits",),
    schema="io.k8s.api.core.v1.LimitRange",
    default=default,
    validate=validate,
    columns=(
        column("Name", text_at("metadata", "name"), about="Unique within its namespace."),
        column("Created At", text_at("metadata", "creationTimestamp"), type="date", about="When it was made."),
    ),
)
