"""Config maps: plain configuration."""

from __future__ import annotations

import base64
import binascii

from motet.base.errors import FieldError, forbidden, invalid
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping

_FROZEN = "field is immutable when `immutable` is set"


def validate(document: Json, old: Json | None) -> list[FieldError]:
    data, binary = mapping(document, "data"), mapping(document, "binaryData")
    errors = []
    size = 0
    for key, value in data.items():
        errors += checks.config_key(f"data[{key}]", key)
        if key in binary:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(str(value).encode())
    for key, value in binary.items():
        errors += checks.config_key(f"binaryData[{key}]", key)
        size += len(decoded(value))
    if size > checks.MAX_DATA_SIZE:
        errors.append(checks.too_long("[]", checks.MAX_DATA_SIZE))
    if old is not None and old.get("immutable") is True:
        errors += frozen(document, old, ("data", "binaryData"))
    return errors


def frozen(document: Json, old: Json, keys: tuple[str, ...]) -> list[FieldError]:
    """Complaints about a change to an object whose `immutable` is set."""
    errors = []
    if document.get("immutable") is not True:
        errors.append(forbidden("immutable", _FROZEN))
    return errors + [forbidden(key, _FROZEN) for key in keys if mapping(document, key) != mapping(old, key)]


def decoded(value: object) -> bytes:
    """Base64 text as bytes; nothing when it is not base64, which the schema complains of."""
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _entries(document: Json) -> int:
    return len(mapping(document, "data")) + len(mapping(document, "binaryData"))


KIND = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    singular="configmap",
    short_names=("cm",),
    schema="io.k8s.api.core.v1.ConfigMap",
    validate=validate,
    columns=(NAME, column("Data", _entries, about="How many entries it has."), AGE),
)
