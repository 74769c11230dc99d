"""Private registries: the credentials that `--with-registry-auth` sends along become a pull secret of the service."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from motet.base.errors import AlreadyExists
from motet.dialects.docker import objects
from motet.dialects.docker.call import Call
from motet.dialects.docker.errors import bad, unsupported
from motet.kinds import app as app_kind
from motet.kinds import secret as secret_kind
from motet.store.document import Document

Json = dict[str, Any]

HEADER = "X-Registry-Auth"
_SUFFIX = "registry"
_AGENTS_WORDS = {
    "username": "username",
    "password": "password",
    "identitytoken": "identity_token",
    "registrytoken": "registry_token",
}
_HUB = "https://index.docker.io/v1/"


def credentials(header: str) -> Json | None:
    """What the header says; None for nothing. Raises DockerError."""
    if not header:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)), type=dict[str, Any])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise bad(f"{HEADER}: it is not JSON in base64") from error
    return found if any(found.get(key) for key in _AGENTS_WORDS) else None


def for_agent(given: Json | None) -> dict[str, str]:
    """Credentials in the words of nodes' agents. Raises DockerError."""
    found = {word: (given or {}).get(key) or "" for key, word in _AGENTS_WORDS.items()}
    if not all(isinstance(each, str) for each in found.values()):
        raise bad("the credentials hold something other than text")
    return {word: text for word, text in found.items() if text}


def of_services(given: Json | None) -> Json | None:
    """Credentials that a pull secret can hold. Raises DockerError for others."""
    if given is not None and not given.get("username"):
        raise unsupported(HEADER, "tokens for services; log in with a user name and a password")
    return given


def use(pod: Json, app: str, given: Json | None) -> None:
    """Have a pod pull with the App's secret."""
    if given is not None:
        pod["imagePullSecrets"] = [{"name": f"{app}-{_SUFFIX}"}]


def take_over(pod: Json, before: Json) -> None:
    """Have a pod pull with what it pulled with before."""
    if before.get("imagePullSecrets"):
        pod["imagePullSecrets"] = before["imagePullSecrets"]


async def keep(call: Call, app: Document, given: Json | None) -> None:
    """Write the App's pull secret."""
    if given is None:
        return
    entry = {"username": given["username"], "password": given.get("password", "")}
    entry["auth"] = base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
    config = msgspec.json.encode({"auths": {given.get("serveraddress") or _HUB: entry}})
    data = {".dockerconfigjson": base64.b64encode(config).decode()}
    owner = objects.owner(app_kind.KIND, app)
    name = f"{app.name}-{_SUFFIX}"
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": app.namespace, "ownerReferences": [owner]},
        "type": "kubernetes.io/dockerconfigjson",
        "data": data,
    }
    try:
        await call.client.create(secret_kind.KIND, document)
    except AlreadyExists:
        change = {"metadata": {"ownerReferences": [owner]}, "data": data}
        await call.client.patch(secret_kind.KIND, name, change, app.namespace)
