"""The pods behind a Service, as EndpointSlices and as the older Endpoints object say it. All of it pure.

Follows KEP-752 (EndpointSlice) and KEP-1672 (terminating endpoints): `serving` is the pod's readiness, `ready` is serving and
not leaving (or the Service publishes unready addresses), a finished pod has no endpoint at all. A Service's
`trafficDistribution` becomes hints of its ready endpoints (KEP-4444, KEP-3015): for whom each is near. So does its annotation
for hints by processors (`topology`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from motet.controllers import slicing, topology
from motet.controllers.podview import Condition
from motet.controllers.slicing import Filling, Group, Plan
from motet.store.document import Meta

Json = dict[str, Any]

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
ENDPOINTS_MANAGER = "endpoint-controller"
HEADLESS = "service.kubernetes.io/headless"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_PER_SLICE = 100
_PER_ENDPOINTS = 1000
_FAMILIES = {"IPv4": ".", "IPv6": ":"}


class ContainerPort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"


class Container(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    ports: tuple[ContainerPort, ...] | None = None
    restart_policy: str = ""


class BackendSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    hostname: str = ""
    subdomain: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] | None = None


class Address(msgspec.Struct, gc=False, frozen=True):
    ip: str = ""


class BackendStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = "Pending"
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[Address, ...] | None = msgspec.field(default=None, name="podIPs")
    conditions: tuple[Condition, ...] | None = None


class BackendView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What an endpoint is made from."""

    metadata: Meta
    spec: BackendSpec = BackendSpec()
    status: BackendStatus = BackendStatus()

    def ready(self) -> bool:
        return any(each.type == "Ready" and each.status == "True" for each in self.status.conditions or ())

    def leaving(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    def addresses(self) -> tuple[str, ...]:
        return tuple(each.ip for each in self.status.pod_ips or () if each.ip) or (
            (self.status.pod_ip,) if self.status.pod_ip else ()
        )

    def exposed(self) -> tuple[Any, ...]:
        """Everything that an endpoint depends on; when it is unchanged, so are the endpoints."""
        if not self.addresses() or self.status.phase in ("Succeeded", "Failed"):
            return ()
        meta = self.metadata
        return meta.uid, meta.labels, self.addresses(), self.ready(), self.leaving(), self.spec.node_name


class ServicePort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str = 0
    app_protocol: str | None = None


class ServiceSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    selector: dict[str, str] | None = None
    ports: tuple[ServicePort, ...] | None = None
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ip_families: tuple[str, ...] | None = None
    publish_not_ready_addresses: bool = False
    traffic_distribution: str | None = None


class ServiceView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    spec: ServiceSpec = ServiceSpec()

    def families(self) -> tuple[str, ...]:
        return self.spec.ip_families or ("IPv4",)

    def labels(self) -> dict[str, str]:
        """The Service's own labels, and whether it is headless: both objects carry them."""
        labels = dict(self.metadata.labels or {})
        if self.spec.cluster_ip == "None":
            labels[HEADLESS] = ""
        return labels


# The zone of a node, given its name; empty when it has none.
ZoneOf = Callable[[str], str]


def slices(
    service: ServiceView,
    pods: Iterable[BackendView],
    existing: Sequence[Json],
    zone_of: ZoneOf = lambda node: "",
    shares: Mapping[str, Fraction] | None = None,
) -> Plan:
    """What to do about the slices of `service` that we manage, so that each backend is in exactly one.

    `shares`: the processors of each zone, for a Service that asks for hints by them.
    """
    wanted = _wanted(service, pods, zone_of)
    if shares is not None:
        _allot(wanted, shares, existing)
    if not any(wanted.values()):
        wanted = {(service.families()[0], ()): {}}  # one empty slice says "we looked, there is nobody"
    return slicing.plan(
        wanted,
        existing,
        per_slice=_PER_SLICE,
        identity=lambda endpoint: str((endpoint.get("targetRef") or {}).get("uid", "")),
        body=lambda group, each: _slice_body(service, group, each),
        keep_empty=True,
    )


def _allot(
    wanted: Mapping[Group, Mapping[str, Json]], shares: Mapping[str, Fraction], existing: Iterable[Json]
) -> None:
    """Fill in for which zone each ready endpoint is."""
    had = {
        str((endpoint.get("targetRef") or {}).get("uid", "")): zone["name"]
        for each in existing
        for endpoint in each.get("endpoints") or ()
        for zone in (endpoint.get("hints") or {}).get("forZones") or ()
    }
    for endpoints in wanted.values():
        ready = {uid: endpoint for uid, endpoint in endpoints.items() if endpoint["conditions"]["ready"]}
        zones = {uid: endpoint.get("zone", "") for uid, endpoint in ready.items()}
        for uid, zone in topology.allot(zones, shares, had).items():
            ready[uid]["hints"] = {"forZones": [{"name": zone}]}


def _wanted(service: ServiceView, pods: Iterable[BackendView], zone_of: ZoneOf) -> dict[Group, dict[str, Json]]:
    """Endpoints by pod uid, grouped by address family and resolved ports."""
    groups: dict[Group, dict[str, Json]] = {}
    for pod in pods:
        if pod.status.phase in ("Succeeded", "Failed"):
            continue
        ports = slicing.ports_key(resolved(service, pod))
        for family in service.families():
            address = next((ip for ip in pod.addresses() if _FAMILIES[family] in ip), "")
            if address:
                groups.setdefault((family, ports), {})[pod.metadata.uid] = _endpoint(service, pod, address, zone_of)
    return groups


def resolved(service: ServiceView, pod: BackendView) -> list[Json]:
    """The Service's ports with target names looked up in this pod; ports that it does not have are left out."""
    ports = []
    for port in service.spec.ports or ():
        number = _target(port, pod)
        if number is None:
            continue
        entry: Json = {"name": port.name, "port": number, "protocol": port.protocol}
        if port.app_protocol:
            entry["appProtocol"] = port.app_protocol
        ports.append(entry)
    return ports


def _target(port: ServicePort, pod: BackendView) -> int | None:
    if isinstance(port.target_port, int):
        return port.target_port or port.port
    sidecars = (each for each in pod.spec.init_containers or () if each.restart_policy == "Always")
    for container in (*pod.spec.containers, *sidecars):
        for candidate in container.ports or ():
            if candidate.name == port.target_port and candidate.protocol == port.protocol:
                return candidate.container_port
    return None


def _endpoint(service: ServiceView, pod: BackendView, address: str, zone_of: ZoneOf) -> Json:
    serving, leaving = pod.ready(), pod.leaving()
    ready = service.spec.publish_not_ready_addresses or (serving and not leaving)
    endpoint: Json = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": leaving},
        "targetRef": _target_ref(pod),
    }
    if pod.spec.node_name:
        endpoint["nodeName"] = pod.spec.node_name
        zone = zone_of(pod.spec.node_name)
        if zone:
            endpoint["zone"] = zone
        # The annotation goes before the field, as upstream has it.
        preference = None if topology.asked(service.metadata) else service.spec.traffic_distribution
        if ready and (hints := _hints(preference, pod.spec.node_name, zone)):
            endpoint["hints"] = hints
    if _named(service, pod):
        endpoint["hostname"] = pod.spec.hostname
    return endpoint


def _hints(preference: str | None, node: str, zone: str) -> Json:
    """Whom an endpoint is near, as far as the Service asks for nearness."""
    hints: Json = {}
    if preference == "PreferSameNode":
        hints["forNodes"] = [{"name": node}]
    if preference and zone:
        hints["forZones"] = [{"name": zone}]
    return hints


def _target_ref(pod: BackendView) -> Json:
    meta = pod.metadata
    return {"kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}


def _named(service: ServiceView, pod: BackendView) -> bool:
    """The pod has a name of its own below the Service's (DNS for pods)."""
    return bool(pod.spec.hostname) and pod.spec.subdomain == service.metadata.name


def _slice_body(service: ServiceView, group: Group, each: Filling) -> Json:
    family, ports = group
    meta = service.metadata
    owner = {"apiVersion": "v1", "kind": "Service", "name": meta.name, "uid": meta.uid}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            **slicing.metadata(each, meta.name, meta.namespace),
            "labels": {**service.labels(), SERVICE_NAME: meta.name, MANAGED_BY: MANAGER},
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "addressType": family,
        "endpoints": list(each.endpoints.values()),
        "ports": [slicing.port(entry) for entry in ports],
    }


def endpoints(service: ServiceView, pods: Iterable[BackendView], existing: Json | None) -> Json | None:
    """The Endpoints object to write, or None when the one there is right. One address family: the Service's first."""
    by_ports: dict[tuple[Any, ...], tuple[list[Json], list[Json]]] = {}
    mark = _FAMILIES[service.families()[0]]
    count = 0
    usable = (pod for pod in pods if pod.status.phase not in ("Succeeded", "Failed"))
    for pod in sorted(usable, key=lambda pod: (not pod.ready(), pod.addresses())):
        if pod.leaving() and not service.spec.publish_not_ready_addresses:
            continue
        address = next((ip for ip in pod.addresses() if mark in ip), "")
        if not address:
            continue
        count += 1
        if count > _PER_ENDPOINTS:
            continue
        ready = pod.ready() or service.spec.publish_not_ready_addresses
        lists = by_ports.setdefault(slicing.ports_key(resolved(service, pod)), ([], []))
        lists[0 if ready else 1].append(_address(service, pod, address))
    subsets = []
    for ports, (good, bad) in sorted(by_ports.items(), key=repr):
        subset: Json = {"addresses": good, "notReadyAddresses": bad, "ports": [_old_port(entry) for entry in ports]}
        subsets.append({key: value for key, value in subset.items() if value})
    return _endpoints_body(service, subsets, existing, truncated=count > _PER_ENDPOINTS)


def _address(service: ServiceView, pod: BackendView, address: str) -> Json:
    entry: Json = {"ip": address, "targetRef": _target_ref(pod)}
    if pod.spec.node_name:
        entry["nodeName"] = pod.spec.node_name
    if _named(service, pod):
        entry["hostname"] = pod.spec.hostname
    return entry


def _old_port(entry: tuple[Any, ...]) -> Json:
    """Endpoints leave an empty port name out, slices keep it."""
    return {key: value for key, value in slicing.port(entry).items() if value != ""}


def _endpoints_body(
    service: ServiceView, subsets: list[Json], existing: Json | None, *, truncated: bool
) -> Json | None:
    old = (existing or {}).get("metadata") or {}
    labels = {**service.labels(), ENDPOINTS_MANAGED_BY: ENDPOINTS_MANAGER}
    annotations = {key: value for key, value in (old.get("annotations") or {}).items() if key != OVER_CAPACITY}
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    same = existing is not None and (existing.get("subsets") or []) == subsets
    if same and old.get("labels") == labels and (old.get("annotations") or {}) == annotations:
        return None
    meta = service.metadata
    metadata: Json = {**old, "name": meta.name, "namespace": meta.namespace, "labels": labels}
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
