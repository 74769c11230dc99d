"""The Node document and its heartbeats (Kubernetes "Nodes"; kubelet's node status).

The lease is renewed four times in the time that a node may be silent (every ten seconds by default); the status is written when
something changed and every five minutes. What the status says is computed purely (`status_of`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from motet.agent import machine
from motet.agent.config import AgentConfig
from motet.agent.machine import Machine
from motet.base import jitter, quantity, release
from motet.base.clock import Clock
from motet.base.errors import NOT_A_MEMBER, AlreadyExists, ApiError, Conflict, MotetError, NotFound
from motet.base.timestamps import format_micro_time, format_time
from motet.client.interface import Client
from motet.kinds import lease as lease_kind
from motet.kinds import node as node_kind
from motet.network.proxy.mesh import ANSWERS_BACK
from motet.pods.eviction import CONDITIONS
from motet.runtime.interface import Image, Runtime, RuntimeFailure
from motet.store.document import Document

Json = dict[str, Any]

_log = logging.getLogger("motet.agent.node")

LEASE_NAMESPACE = "kube-node-lease"
# In the time a node may be silent, so many signs of life.
_HEARTBEATS = 4
_STATUS_EVERY = 300.0
_MOST_IMAGES = 50
_OWN_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage", "pods"})
_OWN_CONDITIONS = frozenset({"NetworkUnavailable", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready"})


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a node's status is computed from. `not_ready` is why pods cannot be run, or empty.

    `pressures` are the conditions of `pods.eviction` that hold. `extended` are the resources that others (operators, people)
    have written into the node's capacity, with their amounts.
    """

    machine: Machine
    pressures: Collection[str]
    runtime_version: str
    not_ready: str
    images: Sequence[Image]
    extended: Mapping[str, str] = field(default_factory=dict)


def status_of(config: AgentConfig, facts: Facts, previous: Sequence[Json], now: datetime) -> Json:
    """Node.status. `previous` are the conditions last written: an unchanged one keeps its transition time."""
    capacity = _capacity(config, facts.machine)
    return {
        "capacity": capacity,
        "allocatable": {
            **capacity,
            "cpu": quantity.format_millis(facts.machine.cpus * 1000 - config.reserved_cpu_millis),
            "memory": f"{max(0, facts.machine.memory - config.reserved_memory) // 1024}Ki",
            "ephemeral-storage": str(facts.machine.storage * 9 // 10),
            # All of them may be used: nothing of what is not ours to count is reserved.
            **facts.extended,
        },
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in config.addresses),
            {"type": "Hostname", "address": config.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "nodeInfo": {
            "machineID": facts.machine.machine_id,
            "systemUUID": facts.machine.machine_id,
            "bootID": facts.machine.boot_id,
            "kernelVersion": facts.machine.kernel,
            "osImage": facts.machine.os_image,
            "containerRuntimeVersion": facts.runtime_version,
            "kubeletVersion": release.MOTET,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": facts.machine.architecture,
        },
        "conditions": _conditions(facts, previous, now),
        "images": _images(facts.images),
    }


def _capacity(config: AgentConfig, found: Machine) -> Json:
    return {
        "cpu": str(found.cpus),
        "memory": f"{found.memory // 1024}Ki",
        "ephemeral-storage": f"{found.storage // 1024}Ki",
        "pods": str(config.max_pods),
    }


def _conditions(facts: Facts, previous: Sequence[Json], now: datetime) -> list[Json]:
    low_memory, low_disk, low_pids = (name in facts.pressures for name in CONDITIONS)
    told = [
        _either("NetworkUnavailable", False, "", "RouteCreated", "The node's pod network is set up"),
        _either(
            "MemoryPressure", low_memory, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory",
            "kubelet has insufficient memory available" if low_memory else "kubelet has sufficient memory available",
        ),
        _either(
            "DiskPressure", low_disk, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure",
            "kubelet has disk pressure" if low_disk else "kubelet has no disk pressure",
        ),
        _either(
            "PIDPressure", low_pids, "KubeletHasInsufficientPID", "KubeletHasSufficientPID",
            "kubelet has insufficient PID available" if low_pids else "kubelet has sufficient PID available",
        ),
        _either(
            "Ready", not facts.not_ready, "KubeletReady", "KubeletNotReady",
            facts.not_ready or "kubelet is posting ready status",
        ),
    ]  # fmt: skip
    before = {condition["type"]: condition for condition in previous}
    stamp = format_time(now)
    for condition in told:
        old = before.get(condition["type"])
        same = old is not None and old["status"] == condition["status"]
        condition["lastHeartbeatTime"] = stamp
        condition["lastTransitionTime"] = old["lastTransitionTime"] if same and old is not None else stamp
    return told


def _either(kind: str, holds: bool, if_so: str, if_not: str, message: str) -> Json:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": if_so if holds else if_not,
        "message": message,
    }


def _images(images: Sequence[Image]) -> list[Json]:
    named = [image for image in images if image.tags or image.digests]
    named.sort(key=lambda image: image.size, reverse=True)
    return [{"names": [*image.digests, *image.tags], "sizeBytes": image.size} for image in named[:_MOST_IMAGES]]


def own(conditions: Sequence[Json]) -> list[Json]:
    """Those the agent writes. There are others on a Node, of controllers and of people, which it leaves alone."""
    return [condition for condition in conditions if condition["type"] in _OWN_CONDITIONS]


def extended(capacity: Mapping[str, str]) -> dict[str, str]:
    """The resources of a Node that are not the agent's to count (Kubernetes "Advertise Extended Resources for a Node")."""
    return {name: amount for name, amount in capacity.items() if name not in _OWN_RESOURCES}


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two statuses differ in more than the time of the heartbeat."""
    return _timeless(old) != _timeless(new)


def _told(conditions: Sequence[Json]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in conditions}


def _timeless(status: Mapping[str, Any]) -> Json:
    conditions = [
        {key: value for key, value in condition.items() if key != "lastHeartbeatTime"}
        for condition in status.get("conditions") or ()
    ]
    return {**status, "conditions": conditions}


class NotAMember(MotetError):
    """The cluster has removed this node; only joining again makes it one."""


class NodeAgent:
    """Registers the node and keeps its status and lease current."""

    def __init__(self, config: AgentConfig, client: Client, runtime: Runtime, clock: Clock) -> None:
        self._config = config
        self._client = client
        self._runtime = runtime
        self._clock = clock
        self._machine = machine.look(config.data_dir)
        self._written: Json = {}
        self._written_at = float("-inf")
        self._uid = ""
        self._removed: asyncio.Future[str] | None = None
        self.pressures: Callable[[], Collection[str]] = tuple
        self._writing = asyncio.Lock()
        # Attached volumes that pods here have, or are about to have.
        self.volumes_in_use: Callable[[], Sequence[str]] = tuple
        self.starting = "the agent is starting"

    @property
    def uid(self) -> str:
        """Of the Node; empty while it has not been seen."""
        return self._uid

    @property
    def machine(self) -> Machine:
        return self._machine

    async def register(self) -> Document:
        """Make the Node, or bring the labels of the one there is up to date. Raises ApiError."""
        name = self._config.node_name
        metadata = {"labels": self._labels(), "annotations": {ANSWERS_BACK: "true"}}
        try:
            # Whoever joined has a Node already; making one's own is for agents that were given their identity otherwise.
            made = await self._client.patch(node_kind.KIND, name, {"metadata": metadata})
        except NotFound:
            spec: Json = {}
            if self._config.pod_cidr is not None:
                spec = {"podCIDR": str(self._config.pod_cidr), "podCIDRs": [str(self._config.pod_cidr)]}
            document = {"metadata": {"name": name, **metadata}, "spec": spec, "status": await self._status({})}
            made = await self._client.create(node_kind.KIND, {"apiVersion": "v1", "kind": "Node", **document})
        self._uid = made.meta.uid
        self._written = {"conditions": own(made.decode().get("status", {}).get("conditions") or [])}
        await self._write_status()
        return made

    def _labels(self) -> dict[str, str]:
        return {
            "kubernetes.io/hostname": self._config.node_name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": self._machine.architecture,
            **self._config.labels,
        }

    async def until_removed(self) -> None:
        """Wait until the cluster says that this node is none of its own, then raise NotAMember with its words."""
        self._removed = asyncio.get_running_loop().create_future()
        raise NotAMember(await self._removed)

    async def run(self) -> None:
        """Heartbeats until cancelled. Raises ApiError when the node is not registered any more."""
        while True:
            try:
                await self._renew_lease()
                await self._write_status()
            except NotFound:
                _log.warning("node %s is not in the API any more: registering it again", self._config.node_name)
                await self.register()
            except ApiError as error:
                _log.warning("heartbeat not delivered: %s", error)
                if error.reason == NOT_A_MEMBER and self._removed is not None and not self._removed.done():
                    self._removed.set_result(error.message)
            # Never later than that, and not all nodes in one step.
            await self._clock.sleep(jitter.below(self._config.node_grace / _HEARTBEATS))

    async def tell(self) -> None:
        """Something about the node has changed that the cluster should hear at once."""
        try:
            await self._write_status()
        except ApiError as error:
            _log.warning("a change of the node's conditions not told yet: %s", error)

    async def announce(self) -> None:
        """As `tell`, and the cluster has heard of it when this returns. Raises ApiError."""
        await self._write_status()

    async def _status(self, advertised: Mapping[str, str]) -> Json:
        not_ready, version, images = self.starting, "containerd://unknown", []
        try:
            name, number = await self._runtime.version()
            version = f"{name}://{number.removeprefix('v').split('~')[0]}"
            images = await self._runtime.images()
            not_ready = not_ready or await self._runtime.network_ready()
        except RuntimeFailure as failure:
            not_ready = f"container runtime is down: {failure}"
        facts = Facts(self._machine, self.pressures(), version, not_ready, images, advertised)
        status = status_of(self._config, facts, self._written.get("conditions", ()), self._clock.now())
        return {**status, "volumesInUse": list(self.volumes_in_use())}

    async def _write_status(self) -> None:
        # One after the other: what is written last must not be what was looked at first.
        async with self._writing:
            await self._write_what_is()

    async def _write_what_is(self) -> None:
        held = (await self._client.get(node_kind.KIND, self._config.node_name)).decode().get("status", {})
        foreign = self._foreign_conditions(held)
        advertised = extended(held.get("capacity") or {})
        offered = extended(held.get("allocatable") or {})
        status = await self._status(advertised)
        now = self._clock.monotonic()
        stale = offered != advertised or changed(self._written, status)
        if not stale and now - self._written_at < _STATUS_EVERY:
            return
        # A merge patch: what is not capacity any more has to be taken out of what can be used by name.
        gone = dict.fromkeys(offered.keys() - advertised.keys())
        body = {
            **status,
            "allocatable": {**status["allocatable"], **gone},
            "conditions": [*status["conditions"], *foreign],
        }
        await self._client.patch(node_kind.KIND, self._config.node_name, {"status": body}, subresource="status")
        self._written, self._written_at = status, now

    def _foreign_conditions(self, held: Json) -> list[Json]:
        """The conditions of others. The cluster writes ours too, when it has not heard of the node for long: that has to be
        taken back.
        """
        conditions = held.get("conditions") or []
        ours = own(conditions)
        if _told(ours) != _told(self._written.get("conditions", ())):
            self._written = {"conditions": ours}
        return [condition for condition in conditions if condition not in ours]

    async def ready(self) -> None:
        """From now on the node counts as ready as soon as its runtime and network are."""
        self.starting = ""
        try:
            await self._write_status()
        except ApiError as error:
            _log.warning("the node's readiness not told yet: %s", error)

    async def _renew_lease(self) -> None:
        name = self._config.node_name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": math.ceil(self._config.node_grace),
            "renewTime": format_micro_time(self._clock.now()),
        }
        try:
            await self._client.patch(lease_kind.KIND, name, {"spec": spec}, LEASE_NAMESPACE)
        except NotFound:
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._uid}
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
                "spec": spec,
            }
            try:
                await self._client.create(lease_kind.KIND, body, LEASE_NAMESPACE)
            except (AlreadyExists, Conflict):
                return
