"""Networks: `docker network create|ls|inspect|rm|prune`.

An overlay network is a Network of the kernel: pods that may talk to each other and to no others. A bridge network is the same, and
open to plain containers; it spans the nodes, too. Addresses come from the one network of all pods, so no subnet can be asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from motet.base.errors import AlreadyExists
from motet.dialects.docker import ids, objects, uses
from motet.dialects.docker.call import Call, Voice, answer, empty
from motet.dialects.docker.errors import DockerError, bad, unsupported
from motet.dialects.docker.fields import Fields, is_zero
from motet.dialects.docker.router import Route
from motet.kinds import network as network_kind
from motet.store.document import Document

Json = dict[str, Any]

DRIVER = "docker.motet.dev/driver"
OVERLAY, BRIDGE, HOST, NONE, INGRESS = "overlay", "bridge", "host", "none", "ingress"
_ENCRYPTED = "encrypted"
# As Docker has them on every machine; what they are here needs no document.
_DRIVERS = {BRIDGE: BRIDGE, HOST: HOST, NONE: "null", INGRESS: OVERLAY}
_EPOCH = "1970-01-01T00:00:00Z"


class View(msgspec.Struct, gc=False, frozen=True):
    spec: network_kind.NetworkSpec = network_kind.NetworkSpec()


def new_document(fields: Fields, namespace: str) -> Json:
    """The Network of a request to create one. Raises DockerError."""
    name = fields.text("Name")
    driver = fields.text("Driver") or BRIDGE
    # Names are looked at in any case, as Docker itself does from API 1.44 on.
    fields.ignore("CheckDuplicate")
    if not fields.truth("EnableIPv4", default=True):
        raise unsupported(
            fields.at("EnableIPv4"), "whether pods have IPv4 addresses is chosen for the whole cluster, when it begins"
        )
    if name in _DRIVERS:
        raise DockerError(403, f"operation is not permitted on predefined {name} network")
    if driver not in (OVERLAY, BRIDGE):
        raise DockerError(404, f'could not find driver "{driver}": Motet has overlay and bridge')
    scope = fields.choice("Scope", ("swarm", "local"), "swarm" if driver == OVERLAY else "local")
    if scope == "local" and driver == OVERLAY:
        raise unsupported(fields.at("Scope"), "an overlay network spans the swarm")
    fields.refuse("whether pods have IPv6 addresses is chosen for the whole cluster, when it begins", "EnableIPv6")
    fields.refuse("published ports answer on every node without a network for it", "Ingress")
    fields.refuse("a network has no configuration to share", "ConfigOnly", "ConfigFrom")
    _no_addresses(fields.fields("IPAM"))
    options = fields.map("Options")
    encrypted = _encrypted(options, fields.at("Options"))
    made: Json = {
        "apiVersion": network_kind.KIND.api_version,
        "kind": network_kind.KIND.kind,
        "metadata": objects.metadata(name, fields.map("Labels"), namespace, "network"),
        "spec": {
            "internal": fields.truth("Internal"),
            "attachable": fields.truth("Attachable") or driver == BRIDGE,
            "encrypted": encrypted,
        },
    }
    if driver != OVERLAY:
        made["metadata"]["annotations"][DRIVER] = driver
    fields.finish()
    return made


def _no_addresses(ipam: Fields) -> None:
    if ipam.text("Driver", "default") != "default":
        raise unsupported(ipam.at("Driver"), "addresses are given out by Motet")
    ipam.refuse("addresses are given out by Motet", "Options")
    for config in ipam.each("Config"):
        for key, value in config.items.items():
            if not is_zero(value):
                raise unsupported(
                    config.at(key), "all networks share the one network of pods (motet server --pod-network)"
                )
    ipam.finish()


def _encrypted(options: dict[str, str], path: str) -> bool:
    for key in options:
        if key not in (_ENCRYPTED, "com.docker.network.driver.mtu"):
            raise unsupported(f"{path}[{key}]")
    if "com.docker.network.driver.mtu" in options:
        raise unsupported(f"{path}[com.docker.network.driver.mtu]", "the MTU follows from the machines' own")
    if _ENCRYPTED not in options:
        return False
    return options[_ENCRYPTED].lower() not in ("false", "0", "no")


def identifier(document: Document) -> str:
    return ids.of_document(document)


def predefined_id(name: str) -> str:
    """Stable, and the same on every cluster."""
    digest = hashlib.sha256(f"motet network {name}".encode()).hexdigest()
    return digest if name != INGRESS else digest[:25]


def translate(document: Document) -> Json:
    """A Network as Docker shows it."""
    spec = document.view(View).spec
    driver = (document.meta.annotations or {}).get(DRIVER, OVERLAY)
    return _shown(
        objects.name_of(document.meta),
        identifier(document),
        driver,
        created=objects.time(document.meta.creation_timestamp),
        internal=spec.internal,
        attachable=spec.attachable,
        options={_ENCRYPTED: ""} if spec.encrypted else {},
        labels=objects.labels_of(document.meta),
    )


def predefined(name: str) -> Json:
    return _shown(
        name, predefined_id(name), _DRIVERS[name], created=_EPOCH, ingress=name == INGRESS, options={}, labels={}
    )


def _shown(
    name: str,
    identifier: str,
    driver: str,
    *,
    created: str,
    options: Json,
    labels: Json,
    internal: bool = False,
    attachable: bool = False,
    ingress: bool = False,
) -> Json:
    return {
        "Name": name,
        "Id": identifier,
        "Created": created,
        "Scope": "swarm" if driver == OVERLAY else "local",
        "Driver": driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": internal,
        "Attachable": attachable,
        "Ingress": ingress,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": options,
        "Labels": labels,
    }


async def known(call: Voice) -> Sequence[Document]:
    return await call.client.list(network_kind.KIND, call.engine.namespace)


async def everything(call: Call) -> list[tuple[Json, Document | None]]:
    """What there is, as Docker shows it, with the document where there is one."""
    found: list[tuple[Json, Document | None]] = [(translate(each), each) for each in await known(call)]
    return [*found, *((predefined(name), None) for name in _DRIVERS)]


async def find(call: Call, asked: str) -> tuple[Json, Document | None]:
    return ids.pick(
        "network", asked, ((shown["Id"], shown["Name"], (shown, doc)) for shown, doc in await everything(call))
    )


async def ls(call: Call) -> web.Response:
    filters = call.filters("dangling", "driver", "id", "label", "name", "scope", "type")
    dangling = filters.truth("dangling")
    found = []
    for shown, document in await everything(call):
        kind = "custom" if document is not None else "builtin"
        if (
            filters.contains("name", shown["Name"])
            and filters.begins("id", shown["Id"])
            and filters.matches("driver", shown["Driver"])
            and filters.matches("scope", shown["Scope"])
            and filters.matches("type", kind)
            and filters.labels(shown["Labels"])
            and (dangling is None or dangling is await _dangling(call, document))
        ):
            found.append(shown)
    return answer(found)


async def _dangling(call: Call, document: Document | None) -> bool:
    return document is not None and not await uses.of(call, "network", document.name)


async def inspect(call: Call) -> web.Response:
    if call.flag("verbose"):
        raise unsupported("verbose", "docker service ps tells where a service's tasks are")
    shown, document = await find(call, call.path["id"])
    scope = call.query.get("scope", "")
    # Services may name the machine's own network, though it is nobody's in particular.
    if scope and scope != shown["Scope"] and document is not None:
        raise DockerError(404, f"network {call.path['id']} not found")
    return answer(shown)


async def create(call: Call) -> web.Response:
    document = new_document(await call.fields(), call.engine.namespace)
    meta = document["metadata"]
    try:
        made = await call.client.create(network_kind.KIND, document)
    except AlreadyExists as error:
        name = meta["annotations"].get(objects.NAME) or meta["name"]
        raise DockerError(409, f"network with name {name} already exists") from error
    return answer({"Id": identifier(made), "Warning": ""}, 201)


async def remove(call: Call) -> web.Response:
    shown, document = await find(call, call.path["id"])
    if document is None:
        raise DockerError(403, f"{shown['Name']} is a pre-defined network and cannot be removed")
    if users := await uses.of(call, "network", document.name):
        raise DockerError(
            400,
            f"rpc error: code = FailedPrecondition desc = network {shown['Id']} is in use by {users[0]}",
        )
    await call.client.delete(network_kind.KIND, document.name, document.namespace, uid=document.meta.uid)
    return empty(204)


async def prune(call: Call) -> web.Response:
    filters = call.filters("label", "label!", "until")
    if "until" in filters or "label!" in filters:
        raise bad("filters: of prune only label is supported by Motet")
    gone = []
    for document in await known(call):
        if filters.labels(objects.labels_of(document.meta)) and await _dangling(call, document):
            await call.client.delete(network_kind.KIND, document.name, document.namespace, uid=document.meta.uid)
            gone.append(objects.name_of(document.meta))
    return answer({"NetworksDeleted": gone or None})


ROUTES = (
    Route("GET", "/networks", ls),
    Route("POST", "/networks/create", create),
    Route("POST", "/networks/prune", prune),
    Route("GET", "/networks/{id}", inspect),
    Route("DELETE", "/networks/{id}", remove),
)
