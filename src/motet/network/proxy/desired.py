"""Which address and port leads to which endpoints: pure, from a service and its slices, or from a pod's host ports.

Follows Kubernetes "Virtual IPs and Service Proxies": ready endpoints take traffic; when there are none, those that are
terminating but still serve do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from motet.network.proxy.views import Endpoint, PodView, ServiceView, SliceView

Address = tuple[str, int]

_PUBLISHING = ("NodePort", "LoadBalancer")


@dataclass(frozen=True, slots=True, order=True)
class Frontend:
    """Where connections arrive. An empty `address` stands for every address of this node."""

    address: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Backends:
    """Where they go, in a stable order. `sticky` seconds bind a client to its first choice; 0 does not."""

    endpoints: tuple[Address, ...]
    sticky: int = 0


Routes = dict[Frontend, Backends]


def of_service(service: ServiceView, slices: Sequence[SliceView], node_name: str) -> Routes:
    """All that one service asks of one node."""
    spec = service.spec
    if spec.type == "ExternalName":
        return {}
    sticky = 0
    if spec.session_affinity == "ClientIP":
        configured = spec.session_affinity_config
        sticky = configured.client_ip.timeout_seconds if configured and configured.client_ip else 10800
    inside = node_name if spec.internal_traffic_policy == "Local" else ""
    outside = node_name if spec.external_traffic_policy == "Local" else ""
    routes: Routes = {}
    for port in spec.ports or ():
        protocol = port.protocol.lower()
        within = Backends(_endpoints(slices, port.name, port.protocol, inside), sticky)
        if spec.cluster_ip not in ("", "None"):
            routes[Frontend(spec.cluster_ip, protocol, port.port)] = within
        beyond = Backends(_endpoints(slices, port.name, port.protocol, outside), sticky)
        for address in _outer_addresses(service):
            routes[Frontend(address, protocol, port.port)] = beyond
        if spec.type in _PUBLISHING and port.node_port:
            routes[Frontend("", protocol, port.node_port)] = beyond
        if spec.type == "LoadBalancer":
            routes[Frontend("", protocol, port.port)] = beyond
    return routes


def of_pod(pod: PodView) -> Routes:
    """The host ports of one pod on this node."""
    if pod.spec.host_network or not pod.status.pod_ip or pod.status.phase in ("Succeeded", "Failed"):
        return {}
    return {
        Frontend("" if port.host_ip in ("", "0.0.0.0") else port.host_ip, port.protocol.lower(), port.host_port): (
            Backends(((pod.status.pod_ip, port.container_port),))
        )
        for container in pod.spec.containers
        for port in container.ports or ()
        if port.host_port
    }


def _outer_addresses(service: ServiceView) -> Iterator[str]:
    yield from service.spec.external_ips or ()
    balancer = service.status.load_balancer
    yield from (item.ip for item in (balancer.ingress if balancer else None) or () if item.ip)


def _endpoints(slices: Iterable[SliceView], name: str, protocol: str, node_name: str) -> tuple[Address, ...]:
    """Endpoints of one named port, on one node only if `node_name` says so."""
    ready: set[Address] = set()
    leaving: set[Address] = set()
    for part in slices:
        if part.address_type != "IPv4":
            continue
        numbers = [p.port for p in part.ports or () if (p.name or "") == name and p.protocol == protocol and p.port]
        for endpoint in part.endpoints or ():
            if node_name and endpoint.node_name != node_name:
                continue
            group = ready if _is_ready(endpoint) else leaving if _still_serves(endpoint) else None
            if group is not None:
                group.update((address, number) for address in endpoint.addresses[:1] for number in numbers)
    return tuple(sorted(ready or leaving))


def _is_ready(endpoint: Endpoint) -> bool:
    return endpoint.conditions is None or endpoint.conditions.ready is not False


def _still_serves(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is not None and bool(conditions.serving) and bool(conditions.terminating)
