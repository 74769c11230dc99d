"""Nodes: `docker node ls|inspect|update|rm`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from motet.base import quantity
from motet.base.errors import Conflict
from motet.dialects.docker import generics, ids, objects
from motet.dialects.docker.call import Call, Voice, answer, empty
from motet.dialects.docker.errors import DockerError, bad
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.router import Route
from motet.dialects.docker.trust import tls_info
from motet.kinds import node as node_kind
from motet.store.document import Document, Meta

Json = dict[str, Any]

MANAGER, WORKER = "manager", "worker"
_GENERIC_PREFIXES = ("kubernetes.io/", "k8s.io/", "motet.dev/")
_KNOWN = frozenset(
    {"cpu", "memory", "pods", "ephemeral-storage", "hugepages-1Gi", "hugepages-2Mi", "swap"}
)  # fmt: skip


class _Address(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    address: str = ""


class _Condition(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    status: str = ""
    message: str = ""


class _Info(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    operating_system: str = ""
    architecture: str = ""
    container_runtime_version: str = ""


class _Taint(msgspec.Struct, gc=False, frozen=True):
    key: str = ""
    effect: str = ""


class _Spec(msgspec.Struct, gc=False, frozen=True):
    unschedulable: bool | None = None
    taints: tuple[_Taint, ...] | None = None


class _Image(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    names: tuple[str, ...] | None = None
    size_bytes: int = 0


class _Status(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    addresses: tuple[_Address, ...] | None = None
    conditions: tuple[_Condition, ...] | None = None
    node_info: _Info = _Info()
    capacity: dict[str, str] | None = None
    images: tuple[_Image, ...] | None = None


class NodeView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def address(self) -> str:
        return next((each.address for each in self.status.addresses or () if each.type == "InternalIP"), "")

    @property
    def hostname(self) -> str:
        return next(
            (each.address for each in self.status.addresses or () if each.type == "Hostname"), self.metadata.name
        )

    @property
    def availability(self) -> str:
        return node_kind.availability(self.metadata.annotations, unschedulable=bool(self.spec.unschedulable))

    @property
    def state(self) -> tuple[str, str]:
        """Swarm's word for how the node is, and why."""
        ready = next((each for each in self.status.conditions or () if each.type == "Ready"), None)
        if ready is None:
            return "unknown", "the node has not been heard of yet"
        if ready.status == "True":
            return "ready", ""
        return "down", ready.message


def own_labels(labels: dict[str, str] | None) -> dict[str, str]:
    """Labels that people gave a node: all but those of Kubernetes and Motet."""
    return {key: value for key, value in (labels or {}).items() if not _is_system(key)}


def _is_system(key: str) -> bool:
    prefix, slash, _ = key.rpartition("/")
    return bool(slash) and any((prefix + "/").endswith(each) for each in _GENERIC_PREFIXES)


def role(view: NodeView, manager: str) -> str:
    """The node at the manager's address is the manager."""
    return MANAGER if view.address and view.address == manager else WORKER


def platform(view: NodeView) -> Json:
    words = {"amd64": "x86_64", "arm64": "aarch64"}
    found = view.status.node_info.architecture
    return {"Architecture": words.get(found, found), "OS": view.status.node_info.operating_system or "linux"}


def resources(view: NodeView) -> Json:
    """CPU in billionths, memory in bytes, and whatever else is counted."""
    capacity = view.status.capacity or {}
    found: Json = {
        "NanoCPUs": quantity.millis(capacity.get("cpu", 0)) * 1_000_000,
        "MemoryBytes": quantity.whole(capacity.get("memory", 0)),
    }
    generic = [
        {"DiscreteResourceSpec": {"Kind": generics.kind(key), "Value": quantity.whole(value)}}
        for key, value in sorted(capacity.items())
        if key not in _KNOWN
    ]
    if generic:
        found["GenericResources"] = generic
    return found


def spec(view: NodeView, manager: str) -> Json:
    return {
        "Labels": own_labels(view.metadata.labels),
        "Role": role(view, manager),
        "Availability": view.availability,
    }


def version(of: Json) -> int:
    """A number for what a client may change of a node. Heartbeats change the document all the time, and this not."""
    return int.from_bytes(hashlib.sha256(msgspec.json.encode(of, order="deterministic")).digest()[:6], "big")


def translate(document: Document, manager: str, port: int, tls_info: Json) -> Json:
    """A Node as Docker shows it. `manager` is the address of the manager, `port` where machines join there."""
    view = document.view(NodeView)
    state, message = view.state
    status: Json = {"State": state, "Addr": view.address or "0.0.0.0"}
    if message:
        status["Message"] = message
    shown = spec(view, manager)
    found = {
        **objects.head(document, version(shown)),
        "Spec": shown,
        "Description": {
            "Hostname": view.hostname,
            "Platform": platform(view),
            "Resources": resources(view),
            "Engine": {
                "EngineVersion": view.status.node_info.kubelet_version,
                "Plugins": [
                    {"Type": "Log", "Name": "json-file"},
                    {"Type": "Network", "Name": "overlay"},
                    {"Type": "Volume", "Name": "local"},
                ],
            },
            "TLSInfo": tls_info,
        },
        "Status": status,
    }
    if role(view, manager) == MANAGER:
        found["ManagerStatus"] = {
            "Leader": True,
            "Reachability": "reachable" if state == "ready" else "unreachable",
            "Addr": f"{view.address}:{port}",
        }
    return found


async def known(call: Voice) -> Sequence[Document]:
    return await call.client.list(node_kind.KIND)


async def find(call: Call, asked: str) -> Document:
    """By identifier, name, or the beginning of an identifier; `self` is the manager's own. Raises DockerError."""
    documents = await known(call)
    if asked == "self":
        found = local(documents, call.engine.address)
        if found is None:
            raise DockerError(404, "node self not found: the manager's machine is no node")
        return found
    return ids.pick("node", asked, ((ids.of_document(each), each.name, each) for each in documents))


def local(documents: Sequence[Document], manager: str) -> Document | None:
    """The node that the manager's machine is."""
    return next((each for each in documents if each.view(NodeView).address == manager), None)


def names(documents: Sequence[Document]) -> dict[str, str]:
    """Identifiers by name."""
    return {each.name: ids.of_document(each) for each in documents}


async def ls(call: Call) -> web.Response:
    filters = call.filters("id", "label", "membership", "name", "node.label", "role")
    manager, info = call.engine.address, tls_info(call.engine)
    found = []
    for document in await known(call):
        node = translate(document, manager, call.engine.api_port, info)
        if (
            filters.begins("id", node["ID"])
            and filters.begins("name", node["Description"]["Hostname"], document.name)
            and filters.matches("role", node["Spec"]["Role"])
            and filters.matches("membership", "accepted")
            and filters.labels({})
            and filters.labels(node["Spec"]["Labels"], "node.label")
        ):
            found.append(node)
    return answer(found)


async def inspect(call: Call) -> web.Response:
    engine = call.engine
    return answer(translate(await find(call, call.path["id"]), engine.address, engine.api_port, tls_info(engine)))


async def update(call: Call) -> web.Response:
    document = await find(call, call.path["id"])
    fields = await call.fields()
    wanted_role = fields.choice("Role", (MANAGER, WORKER))
    availability = fields.choice("Availability", node_kind.AVAILABILITIES)
    labels = fields.map("Labels")
    _unnamed(fields, document)
    fields.finish()
    if not availability or not wanted_role:
        raise bad("rpc error: code = InvalidArgument desc = invalid Role or Availability: both are needed")
    while not await _changed(call, document, wanted_role, availability, labels):
        document = await find(call, call.path["id"])
    return empty()


async def _changed(call: Call, document: Document, wanted_role: str, availability: str, labels: dict[str, str]) -> bool:
    """Write what was asked for; False when somebody else wrote meanwhile, as each heartbeat does. Raises DockerError."""
    view = document.view(NodeView)
    objects.check_version(call.query, version(spec(view, call.engine.address)))
    has = role(view, call.engine.address)
    if wanted_role != has:
        raise DockerError(
            400,
            "Role: this cluster has one manager; a node is neither promoted nor demoted"
            if has == WORKER
            else "Role: attempting to demote the last manager of the swarm",
        )
    try:
        await call.client.update(node_kind.KIND, changed_node(document.decode(), labels, availability))
    except Conflict:
        return False
    return True


def _unnamed(fields: Fields, document: Document) -> None:
    name = fields.text("Name")
    if name and name != document.name:
        raise bad(f"Name: a node keeps the name it joined with, {document.name}")


def changed_node(node: Json, labels: dict[str, str], availability: str) -> Json:
    """The Node with other labels of people's, and for another use."""
    meta = node["metadata"]
    system = {key: value for key, value in (meta.get("labels") or {}).items() if _is_system(key)}
    meta["labels"] = {**system, **labels}
    return node_kind.made_available(node, availability, evict=True)


async def remove(call: Call) -> web.Response:
    document = await find(call, call.path["id"])
    state, _ = document.view(NodeView).state
    if state != "down" and not call.flag("force"):
        raise DockerError(
            400,
            f"rpc error: code = FailedPrecondition desc = node {ids.of_document(document)} is not down and can't be removed",
        )
    if role(document.view(NodeView), call.engine.address) == MANAGER:
        raise DockerError(
            400,
            f"rpc error: code = FailedPrecondition desc = node {ids.of_document(document)} is a cluster manager and is a member of "
            "the raft cluster. It must be demoted to worker before removal",
        )
    await call.client.delete(node_kind.KIND, document.name)
    return empty()


ROUTES = (
    Route("GET", "/nodes", ls),
    Route("GET", "/nodes/{id}", inspect),
    Route("POST", "/nodes/{id}/update", update),
    Route("DELETE", "/nodes/{id}", remove),
)
