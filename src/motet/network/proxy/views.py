"""What the proxy reads of services, endpoint slices and pods."""

from __future__ import annotations

import msgspec


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class ServicePort(_Struct, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0


class ClientIp(_Struct, frozen=True):
    timeout_seconds: int = 10800


class SessionAffinityConfig(_Struct, frozen=True):
    client_ip: ClientIp | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(_Struct, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: tuple[str, ...] | None = None
    external_ips: tuple[str, ...] | None = msgspec.field(default=None, name="externalIPs")
    ports: tuple[ServicePort, ...] | None = None
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    external_traffic_policy: str = "Cluster"
    internal_traffic_policy: str = "Cluster"
    load_balancer_class: str | None = None
    load_balancer_source_ranges: tuple[str, ...] | None = None
    health_check_node_port: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """The cluster's addresses of it, of each family one at most; none of a headless one."""
        found = self.cluster_ips or (self.cluster_ip,)
        return tuple(each for each in found if each not in ("", "None"))

    def serves(self, family: str) -> bool:
        """Whether it is there for a family at all. Older documents say nothing of it, and are of IPv4."""
        return family in (self.ip_families or ("IPv4",))


class Ingress(_Struct, frozen=True):
    ip: str = ""
    ip_mode: str | None = None


class LoadBalancer(_Struct, frozen=True):
    ingress: tuple[Ingress, ...] | None = None


class Condition(_Struct, frozen=True):
    type: str = ""
    status: str = ""


class ServiceStatus(_Struct, frozen=True):
    load_balancer: LoadBalancer | None = None
    conditions: tuple[Condition, ...] | None = None


class Meta(_Struct, frozen=True):
    annotations: dict[str, str] | None = None


class ServiceView(_Struct, frozen=True):
    metadata: Meta = Meta()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(_Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Name(_Struct, frozen=True):
    name: str = ""


class Hints(_Struct, frozen=True):
    for_nodes: tuple[Name, ...] | None = None
    for_zones: tuple[Name, ...] | None = None


class Endpoint(_Struct, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions | None = None
    node_name: str = ""
    hostname: str = ""
    hints: Hints | None = None


class EndpointPort(_Struct, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str = "TCP"


class SliceView(_Struct, frozen=True):
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class ContainerPort(_Struct, frozen=True):
    container_port: int
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class Container(_Struct, frozen=True):
    ports: tuple[ContainerPort, ...] | None = None
    restart_policy: str | None = None


class PodSpec(_Struct, frozen=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] | None = None
    host_network: bool = False
    node_name: str = ""


class PodIp(_Struct, frozen=True):
    ip: str = ""


class PodStatus(_Struct, frozen=True):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIp, ...] | None = msgspec.field(default=None, name="podIPs")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of each family one at most."""
        return tuple(each.ip for each in self.pod_ips or ()) or (self.pod_ip,)


class PodView(_Struct, frozen=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
