"""TokenRequests: what is POSTed to serviceaccounts/token. Answered, never kept."""

from __future__ import annotations

from motet.base.errors import FieldError, invalid
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import made, mapping

SECONDS = 60 * 60
_LEAST = 10 * 60
_MOST = 1 << 32


def default(document: Json) -> None:
    """An hour; the audience is the server's to fill in."""
    spec = made(document, "spec")
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = SECONDS


def validate(document: Json, old: Json | None) -> list[FieldError]:
    seconds = mapping(document, "spec").get("expirationSeconds")
    if not isinstance(seconds, int):
        return []
    path = "spec.expirationSeconds"
    if seconds < _LEAST:
        return [invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    return [invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")] if seconds > _MOST else []


KIND = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenRequest",
    plural="tokenrequests",
    schema="io.k8s.api.authentication.v1.TokenRequest",
    default=default,
    validate=validate,
    verbs=("create",),
)
