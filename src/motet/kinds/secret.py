"""Secrets: configuration that is not to be seen."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec

from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column, size_of, text_at
from motet.kinds.configmap import decoded, frozen
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_empty, made, mapping, text
from motet.store.document import Document

OPAQUE = "Opaque"
TLS = "kubernetes.io/tls"
DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"
ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105
# On such a secret: whose token it holds.
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
_HIDDEN = "<secret contents redacted>"
# What each type has to hold: any one of each group.
_NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    TLS: (("tls.crt",), ("tls.key",)),
    DOCKER_CONFIG: ((".dockerconfigjson",),),
    "kubernetes.io/dockercfg": ((".dockercfg",),),
    "kubernetes.io/basic-auth": (("username", "password"),),
    "kubernetes.io/ssh-auth": (("ssh-privatekey",),),
}


def default(document: Json) -> None:
    fill_empty(document, "type", OPAQUE)
    plain = document.pop("stringData", None)
    if isinstance(plain, dict) and plain:
        data = made(document, "data")
        for key, value in plain.items():
            data[key] = base64.b64encode(str(value).encode()).decode()


def validate(document: Json, old: Json | None) -> list[FieldError]:
    data = mapping(document, "data")
    kind = text(document, "type")
    errors = []
    size = 0
    for key, value in data.items():
        errors += checks.config_key(f"data[{key}]", key)
        size += len(decoded(value))
    if size > checks.MAX_DATA_SIZE:
        errors.append(checks.too_long("data", checks.MAX_DATA_SIZE))
    for group in _NEEDED.get(kind, ()):
        if not any(key in data for key in group):
            errors += [required(f"data[{key}]") for key in group]
        elif group[0].startswith(".docker"):
            errors += _json(group[0], data)
    if kind == ACCOUNT_TOKEN and not text(document, "metadata", "annotations", ACCOUNT_NAME):
        errors.append(required(f"metadata.annotations[{ACCOUNT_NAME}]"))
    if old is not None:
        errors += checks.unchanged("type", kind, text(old, "type"))
        if old.get("immutable") is True:
            errors += frozen(document, old, ("data",))
    return errors


def _json(key: str, data: Json) -> list[FieldError]:
    try:
        msgspec.json.decode(decoded(data[key]))
    except msgspec.DecodeError:
        return [invalid(f"data[{key}]", _HIDDEN, "the value is not valid JSON")]
    return []


class SecretToken(msgspec.Struct, gc=False, frozen=True):
    """A secret that may hold the token of a service account."""

    type: str = ""
    data: dict[str, str] | None = None

    @property
    def token(self) -> str:
        return self.text("token")

    def text(self, key: str) -> str:
        """A value as text; empty when there is none."""
        return decoded((self.data or {}).get(key, "")).decode(errors="replace")


class _Fields(msgspec.Struct, gc=False, frozen=True):
    type: str | None = None


def fields(document: Document) -> Mapping[str, str]:
    return {"type": document.view(_Fields).type or ""}


KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    singular="secret",
    schema="io.k8s.api.core.v1.Secret",
    default=default,
    validate=validate,
    fields=fields,
    field_names=("type",),
    indexed_fields=("type",),
    columns=(
        NAME,
        column("Type", text_at("type"), about="What kind of secret it is."),
        column("Data", size_of("data"), about="How many entries it has."),
        AGE,
    ),
)
