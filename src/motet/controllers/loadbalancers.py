"""Load balancers made of the cluster's own nodes: every node takes the published ports, so their addresses are the answer.

A port of a protocol can have one holder in the whole cluster. Of several Services that want it, one that has its addresses
already keeps it, then the oldest gets it; the others stay pending and are told who holds it. Services that name another class
of load balancer are left to whoever serves that. Nodes labelled `node.kubernetes.io/exclude-from-external-load-balancers` are not
shown; with `externalTrafficPolicy: Local` only nodes with a ready endpoint are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from motet.base import timestamps
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.base.ip import IPV4, family_of_text
from motet.client.events import WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers.backends import SERVICE_NAME
from motet.controllers.loop import Controller
from motet.kinds import endpointslice as endpointslice_kind
from motet.kinds import node as node_kind
from motet.kinds import service as service_kind
from motet.store.document import Document, Meta
from motet.store.table import Table

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
# The condition's type and reason are upstream's vocabulary.
PORTS_ERROR = "LoadBalancerPortsError"
PORT_TAKEN = "PortTaken"
_PACE = 0.1
_EVERYTHING = "all"


class Port(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    port: int = 0
    protocol: str = "TCP"
    node_port: int = 0


class ServiceSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "ClusterIP"
    ports: tuple[Port, ...] | None = None
    load_balancer_class: str | None = None
    ip_families: tuple[str, ...] | None = None
    external_traffic_policy: str = "Cluster"


class Ingress(msgspec.Struct, gc=False, frozen=True):
    ip: str = ""


class Balancer(msgspec.Struct, gc=False, frozen=True):
    ingress: tuple[Ingress, ...] | None = None


class Condition(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    status: str = ""
    message: str = ""


class ServiceStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    load_balancer: Balancer | None = None
    conditions: tuple[Condition, ...] | None = None


class ServiceView(msgspec.Struct, gc=False, frozen=True):
    """What decides about a Service's addresses, and what they are."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def key(self) -> tuple[str, str]:
        return self.metadata.namespace, self.metadata.name

    def wants(self) -> bool:
        """Whether it is ours to balance."""
        going = self.metadata.deletion_timestamp is not None
        return self.spec.type == "LoadBalancer" and not self.spec.load_balancer_class and not going

    def shown(self) -> tuple[str, ...]:
        balancer = self.status.load_balancer
        return tuple(each.ip for each in (balancer.ingress if balancer else None) or ())

    def complaint(self) -> str:
        """What it was told last about its ports; empty when all is well."""
        conditions = self.status.conditions or ()
        return next((each.message for each in conditions if each.type == PORTS_ERROR and each.status == "True"), "")


class _Address(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    address: str = ""


class _NodeStatus(msgspec.Struct, gc=False, frozen=True):
    addresses: tuple[_Address, ...] | None = None
    conditions: tuple[Condition, ...] | None = None


class NodeView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    status: _NodeStatus = _NodeStatus()

    def addresses(self) -> tuple[str, ...]:
        """Where it can be reached, by one address of each family; none when it should not be."""
        ready = any(each.type == "Ready" and each.status == "True" for each in self.status.conditions or ())
        if not ready or EXCLUDE in (self.metadata.labels or {}):
            return ()
        found: dict[str, str] = {}
        for each in self.status.addresses or ():
            if each.type == "InternalIP":
                found.setdefault(family_of_text(each.address), each.address)
        return tuple(found.values())

    def address(self) -> str:
        """The first of them; empty for none."""
        return next(iter(self.addresses()), "")


class _EndpointConditions(msgspec.Struct, gc=False, frozen=True):
    ready: bool | None = None


class _Endpoint(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    conditions: _EndpointConditions | None = None


class SliceView(msgspec.Struct, gc=False, frozen=True):
    endpoints: tuple[_Endpoint, ...] | None = None

    def nodes(self) -> frozenset[str]:
        """Nodes with a ready endpoint."""
        return frozenset(
            each.node_name
            for each in self.endpoints or ()
            if each.node_name and (each.conditions is None or each.conditions.ready is not False)
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one Service shows: addresses, or the complaint why it has none. Both empty: there is no node yet."""

    addresses: tuple[str, ...] = ()
    complaint: str = ""


def decide(
    services: Sequence[ServiceView],
    nodes: Mapping[str, tuple[str, ...]],
    local: Mapping[tuple[str, str], Iterable[str]],
) -> dict[tuple[str, str], Verdict]:
    """A verdict for every Service with something to show or to take back.

    `nodes` gives the addresses of every node that can be shown; `local` the nodes of a Service's ready endpoints, needed for Local
    policies only. With no node at all everybody keeps what was shown: an API that lost sight of its nodes is no
    reason for clients to lose sight of them too.
    """
    holders: dict[tuple[str, int], ServiceView] = {
        (port.protocol, port.node_port): service
        for service in services
        for port in service.spec.ports or ()
        if port.node_port
    }
    wishes = sorted((each for each in services if each.wants()), key=_rank)
    for service in wishes:
        ports = _ports(service)
        if not any(holders.get(port, service).key != service.key for port in ports):
            holders.update(dict.fromkeys(ports, service))
    verdicts: dict[tuple[str, str], Verdict] = {}
    for service in wishes:
        others = [(port, by) for port in _ports(service) if (by := holders.get(port, service)).key != service.key]
        if others:
            verdicts[service.key] = Verdict(complaint="; ".join(_held(port, by) for port, by in others))
        else:
            verdicts[service.key] = Verdict(_addresses(service, nodes, local) if nodes else service.shown())
    for service in services:
        if not service.wants() and service.spec.type != "LoadBalancer" and (service.shown() or service.complaint()):
            verdicts[service.key] = Verdict()
    return verdicts


def _rank(service: ServiceView) -> tuple[bool, str, str, str]:
    return not service.shown(), service.metadata.creation_timestamp or "", *service.key


def _ports(service: ServiceView) -> list[tuple[str, int]]:
    return [(port.protocol, port.port) for port in service.spec.ports or ()]


def _held(port: tuple[str, int], by: ServiceView) -> str:
    return f"Port {port[1]}/{port[0]} is held by Service {by.metadata.namespace}/{by.metadata.name}"


def _addresses(
    service: ServiceView, nodes: Mapping[str, tuple[str, ...]], local: Mapping[tuple[str, str], Iterable[str]]
) -> tuple[str, ...]:
    """Of the families that the Service is of, IPv4 first."""
    names = local.get(service.key, ()) if service.spec.external_traffic_policy == "Local" else nodes
    families = service.spec.ip_families or (IPV4,)
    found = {each for name in names for each in nodes.get(name, ()) if family_of_text(each) in families}
    return tuple(sorted(found, key=lambda address: (":" in address, address)))


class LoadBalancers:
    """The loop over all Services of type LoadBalancer at once, since they compete for ports."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._services: Table
        self._nodes: Table
        self._slices: Table

    async def run(self) -> None:
        """Keep every Service's addresses until cancelled."""
        self._services = await self._client.table(service_kind.KIND)
        self._nodes = await self._client.table(node_kind.KIND)
        self._slices = await self._client.table(endpointslice_kind.KIND)
        loop: Controller[str] = Controller(
            "load-balancer", self.reconcile, clock=self._clock, parallelism=1, pace=_PACE
        )
        loop.watch(self._services, _concerns_service)
        loop.watch(self._nodes, _concerns_node)
        loop.watch(self._slices, self._concerns_slice)
        await loop.run()

    def _concerns_slice(self, old: Document | None, new: Document | None) -> Iterable[str]:
        document = new or old
        service = self._service_of(document) if document else None
        if service is None or service.spec.external_traffic_policy != "Local" or not service.wants():
            return ()
        before, after = (each.view(SliceView).nodes() if each else frozenset() for each in (old, new))
        return (_EVERYTHING,) if before != after else ()

    def _service_of(self, document: Document) -> ServiceView | None:
        found = self._services.get((document.meta.labels or {}).get(SERVICE_NAME, ""), document.namespace)
        return found.view(ServiceView) if found else None

    async def reconcile(self, _: str) -> None:
        """Write every status that is not right."""
        services = [each.view(ServiceView) for each in self._services]
        views = (each.view(NodeView) for each in self._nodes)
        nodes = {view.metadata.name: found for view in views if (found := view.addresses())}
        for key, verdict in decide(services, nodes, self._local(services)).items():
            document = self._services.get(key[1], key[0])
            if document is not None:
                await self._write(document, verdict)

    def _local(self, services: Iterable[ServiceView]) -> dict[tuple[str, str], set[str]]:
        wanted = {each.key for each in services if each.wants() and each.spec.external_traffic_policy == "Local"}
        found: dict[tuple[str, str], set[str]] = {key: set() for key in wanted}
        for document in self._slices if wanted else ():
            key = document.namespace, (document.meta.labels or {}).get(SERVICE_NAME, "")
            if key in found:
                found[key] |= document.view(SliceView).nodes()
        return found

    async def _write(self, document: Document, verdict: Verdict) -> None:
        view = document.view(ServiceView)
        if (view.shown(), view.complaint()) == (verdict.addresses, verdict.complaint):
            return
        changed = document.decode()
        status = changed.setdefault("status", {})
        shown = [{"ip": address, "ipMode": "VIP"} for address in verdict.addresses]
        status["loadBalancer"] = {"ingress": shown} if shown else {}
        kept = [each for each in status.get("conditions") or () if each.get("type") != PORTS_ERROR]
        if verdict.complaint:
            kept.append(self._condition(verdict.complaint, view.metadata.generation))
        status.pop("conditions", None)
        if kept:
            status["conditions"] = kept
        with contextlib.suppress(NotFound):
            await self._client.update(service_kind.KIND, changed, subresource="status")
            if verdict.complaint:
                about = About.document(document, "v1", "Service")
                self._events.event(about, WARNING, PORT_TAKEN, verdict.complaint)

    def _condition(self, message: str, generation: int) -> dict[str, Any]:
        return {
            "type": PORTS_ERROR,
            "status": "True",
            "reason": PORT_TAKEN,
            "message": message,
            "lastTransitionTime": timestamps.format_time(self._clock.now()),
            **({"observedGeneration": generation} if generation else {}),
        }


def _concerns_service(old: Document | None, new: Document | None) -> Iterable[str]:
    """A Service that has, wants or had published ports; one that only changed elsewhere is looked at for nothing."""
    for document in (old, new):
        view = document.view(ServiceView) if document else None
        if view and (view.spec.type in ("LoadBalancer", "NodePort") or view.shown()):
            return (_EVERYTHING,)
    return ()


def _concerns_node(old: Document | None, new: Document | None) -> Iterable[str]:
    """Heartbeats come every few seconds and say nothing new."""
    before, after = (each.view(NodeView).addresses() if each else () for each in (old, new))
    return (_EVERYTHING,) if before != after else ()
