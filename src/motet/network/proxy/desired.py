"""Which address and port leads to which endpoints: pure, from a service and its slices, or from a pod's host ports.

Follows Kubernetes "Virtual IPs and Service Proxies": ready endpoints take traffic; when there are none, those that are
terminating but still serve do. With a Local policy only this node's count; of the external one those inside the cluster
notice nothing. With other policies hints count: while every ready endpoint says for which nodes (else zones) it is and some
are for this one, only those take its traffic. Everything here ends up in the text of a transaction, so an address that is
none, or one that must not be reachable through a service, goes no further than this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses
from typing import TypeVar

from motet.base.ip import IPV4, family_of_text, parse_address
from motet.base.ip import Address as IP
from motet.kinds.service import EVERY_PORT
from motet.network.proxy.mesh import CLIENT_ADDRESS, HIDDEN
from motet.network.proxy.views import Condition, Endpoint, PodView, ServicePort, ServiceSpec, ServiceView, SliceView

Address = tuple[str, int]

_PUBLISHING = ("NodePort", "LoadBalancer")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
# Of all ports together; no port has such a name (they are DNS labels).
EVERY_NAME = "*"
# The load balancer controller's word that somebody else holds one of the ports.
PORTS_ERROR = "LoadBalancerPortsError"


@dataclass(frozen=True, slots=True, order=True)
class Frontend:
    """Where connections arrive. An empty `address` stands for every address of this node.

    With port 0 and no protocol it is every port of its address, and its endpoints have port 0, too: connections keep the port
    they came for. A frontend that names the port goes before it. One that is `inside` is only for senders in the cluster: pods
    and the node itself. It goes before one that is not.
    """

    address: str
    protocol: str
    port: int
    inside: bool = False

    @property
    def every_port(self) -> bool:
        return not self.port


@dataclass(frozen=True, slots=True)
class Backends:
    """Where they go, in a stable order. `sticky` seconds bind a client to its first choice; 0 does not.

    Without endpoints connections are refused; if there are some `elsewhere`, on other nodes, they are ignored instead, as
    whoever sends them should try another node. One that `hides_clients` shows endpoints on other nodes this node's address.
    `sources` are disjoint ranges that clients must come from; None lets everybody in.
    """

    endpoints: tuple[Address, ...]
    sticky: int = 0
    elsewhere: bool = False
    hides_clients: bool = False
    sources: tuple[str, ...] | None = None


Routes = dict[Frontend, Backends]


def of_service(
    service: ServiceView, slices: Sequence[SliceView], node_name: str, zone: str = "", family: str = IPV4
) -> Routes:
    """All that one service asks of one node in one family of addresses. The node is in a zone unless that is empty."""
    spec = service.spec
    if spec.type == "ExternalName" or not spec.serves(family):
        return {}
    parts = [part for part in slices if part.address_type == family]
    virtual = next((each for text in spec.addresses if (each := _usable(text, family))), "")
    nobody = Backends((), _stickiness(spec), hides_clients=_hides_clients(service))
    routes: Routes = {}
    if virtual and _leads_to_every_port(service):
        found = _Endpoints(parts, EVERY_NAME, "", nobody, (node_name, zone), family)
        within = found.at(node_name) if spec.internal_traffic_policy == "Local" else found.anywhere()
        routes[Frontend(virtual, "", 0)] = within
    for port in spec.ports or ():
        if port.protocol not in _PROTOCOLS or not 0 < port.port < 65536:
            continue
        protocol = port.protocol.lower()
        found = _Endpoints(parts, port.name, port.protocol, nobody, (node_name, zone), family)
        if virtual:
            within = found.at(node_name) if spec.internal_traffic_policy == "Local" else found.anywhere()
            routes[Frontend(virtual, protocol, port.port)] = within
        for address, number, sources in _entrances(service, port, family):
            frontend = Frontend(address, protocol, number)
            if spec.external_traffic_policy == "Local":
                routes[frontend] = replace(found.at(node_name), sources=sources)
                routes[replace(frontend, inside=True)] = replace(found.anywhere(), sources=sources)
            else:
                routes[frontend] = replace(found.anywhere(), sources=sources)
    return routes


def of_pod(pod: PodView, family: str = IPV4) -> Routes:
    """The host ports of one pod on this node in one family of addresses."""
    own = next((each for text in pod.status.addresses if (each := _usable(text, family))), "")
    if pod.spec.host_network or not own or pod.status.phase in ("Succeeded", "Failed"):
        return {}
    sidecars = (each for each in pod.spec.init_containers or () if each.restart_policy == "Always")
    return {
        Frontend(where, port.protocol.lower(), port.host_port): Backends(((own, port.container_port),))
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports or ()
        if 0 < port.host_port < 65536
        and port.protocol in _PROTOCOLS
        and (where := _host_address(port.host_ip, family)) is not None
    }


def _host_address(text: str, family: str) -> str | None:
    """Where a host port is taken, empty for everywhere; None if not in this family. `::` stands for both, as in a socket."""
    if text in ("", "::") or (text == "0.0.0.0" and family == IPV4):
        return ""
    return canonical(text, family) or None


def _stickiness(spec: ServiceSpec) -> int:
    if spec.session_affinity != "ClientIP":
        return 0
    configured = spec.session_affinity_config
    return max(1, configured.client_ip.timeout_seconds) if configured and configured.client_ip else 10800


def _leads_to_every_port(service: ServiceView) -> bool:
    return service.spec.type == "ClusterIP" and (service.metadata.annotations or {}).get(EVERY_PORT) == "true"


def _hides_clients(service: ServiceView) -> bool:
    return (service.metadata.annotations or {}).get(CLIENT_ADDRESS) == HIDDEN


def _is_ours(service: ServiceView) -> bool:
    """Balanced by the nodes themselves, and not refused its ports."""
    return not service.spec.load_balancer_class and not any(
        condition.type == PORTS_ERROR and condition.status == "True" for condition in _conditions(service)
    )


def _conditions(service: ServiceView) -> Iterable[Condition]:
    return service.status.conditions or ()


def _entrances(
    service: ServiceView, port: ServicePort, family: str
) -> Iterator[tuple[str, int, tuple[str, ...] | None]]:
    """Addresses and ports from outside, and who may come by them. An empty address is every one of this node.

    What a load balancer of ours shows in its status are the nodes' addresses, so the port counts on all of them.
    """
    spec = service.spec
    for text in spec.external_ips or ():
        if address := _usable(text, family):
            yield address, port.port, None
    if spec.type in _PUBLISHING and 0 < port.node_port < 65536:
        yield "", port.node_port, None
    if spec.type != "LoadBalancer":
        return
    sources = _sources(spec, family)
    if _is_ours(service):
        yield "", port.port, sources
    elif spec.load_balancer_class:
        balancer = service.status.load_balancer
        shown = (item for item in (balancer.ingress if balancer else None) or () if item.ip_mode != "Proxy")
        for item in shown:
            if address := _usable(item.ip, family):
                yield address, port.port, sources


def _sources(spec: ServiceSpec, family: str) -> tuple[str, ...] | None:
    """The ranges that clients of this family may come from; if there are some for the other family only, nobody may."""
    if not spec.load_balancer_source_ranges:
        return None
    ranges = [text.strip() for text in spec.load_balancer_source_ranges]
    if family == IPV4:
        merged = [str(each) for each in collapse_addresses(_networks(ranges, IPv4Network))]
    else:
        merged = [str(each) for each in collapse_addresses(_networks(ranges, IPv6Network))]
    return None if merged in (["0.0.0.0/0"], ["::/0"]) else tuple(merged)


_N = TypeVar("_N", IPv4Network, IPv6Network)


def _networks(ranges: Iterable[str], kind: Callable[[str, bool], _N]) -> list[_N]:
    found = []
    for text in ranges:
        try:
            found.append(kind(text, False))
        except ValueError:  # of the other family
            continue
    return found


class _Endpoints:
    """The endpoints of one named port, put into a copy of `nobody`."""

    def __init__(
        self,
        slices: Sequence[SliceView],
        name: str,
        protocol: str,
        nobody: Backends,
        here: tuple[str, str],
        family: str,
    ) -> None:
        self._family = family
        self._here = here
        self._slices, self._name, self._protocol, self._nobody = slices, name, protocol, nobody
        self._all: tuple[Address, ...] | None = None

    def anywhere(self) -> Backends:
        if self._all is None:
            self._all = self._select("")
        return replace(self._nobody, endpoints=self._all)

    def at(self, node_name: str) -> Backends:
        endpoints = self._select(node_name)
        return replace(self._nobody, endpoints=endpoints, elsewhere=not endpoints and bool(self.anywhere().endpoints))

    def _numbers(self, part: SliceView) -> list[int]:
        if self._name == EVERY_NAME:
            return [0]
        return [
            p.port
            for p in part.ports or ()
            if (p.name or "") == self._name and p.protocol == self._protocol and p.port and 0 < p.port < 65536
        ]

    def _select(self, node_name: str) -> tuple[Address, ...]:
        ready: dict[Address, Endpoint] = {}
        leaving: dict[Address, Endpoint] = {}
        for part in self._slices:
            numbers = self._numbers(part)
            for endpoint in part.endpoints or ():
                if node_name and endpoint.node_name != node_name:
                    continue
                group = ready if is_ready(endpoint) else leaving if _still_serves(endpoint) else None
                if group is not None:
                    usable = (each for text in endpoint.addresses[:1] if (each := _usable(text, self._family)))
                    group.update(((address, number), endpoint) for address in usable for number in numbers)
        near = ready if node_name else _near(ready, *self._here)
        return tuple(sorted(near or leaving))


def _near(ready: dict[Address, Endpoint], node_name: str, zone: str) -> Iterable[Address]:
    """Those that are for this node, else those for its zone, else all: also when one of them has no such hint."""
    for place, names in ((node_name, _nodes_of), (zone, _zones_of)):
        near = [address for address, endpoint in ready.items() if place in names(endpoint)]
        if place and near and all(names(endpoint) for endpoint in ready.values()):
            return near
    return ready


def _nodes_of(endpoint: Endpoint) -> set[str]:
    return {each.name for each in (endpoint.hints.for_nodes if endpoint.hints else None) or ()}


def _zones_of(endpoint: Endpoint) -> set[str]:
    return {each.name for each in (endpoint.hints.for_zones if endpoint.hints else None) or ()}


def is_ready(endpoint: Endpoint) -> bool:
    """Whether it takes new connections; unknown counts as ready."""
    return endpoint.conditions is None or endpoint.conditions.ready is not False


def _still_serves(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is not None and bool(conditions.serving) and bool(conditions.terminating)


@lru_cache(maxsize=65536)
def parsed(text: str) -> IP:
    """The address that a text is. Raises ValueError."""
    return parse_address(text)


@lru_cache(maxsize=65536)
def canonical(text: str, family: str) -> str:
    """An address of this family in its one form (RFC 5952); empty for everything else."""
    if family_of_text(text) != family:
        return ""
    try:
        address = parse_address(text)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address.ipv4_mapped is not None):
        return ""
    return str(address)


@lru_cache(maxsize=65536)
def _usable(text: str, family: str) -> str:
    """The same of an address that services may lead to or from: never the node's own loopback, nor its link-local neighbours."""
    if not (found := canonical(text, family)):
        return ""
    address = parse_address(found)
    nowhere = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return "" if nowhere else found
