"""What the command line reads of the ports that services and pods publish."""

from __future__ import annotations

import msgspec


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class ServicePort(_Struct, frozen=True):
    port: int
    target_port: int | str = 0
    protocol: str = "TCP"
    node_port: int = 0


class ServiceSpec(_Struct, frozen=True):
    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] | None = None


class ServiceView(_Struct, frozen=True):
    spec: ServiceSpec = ServiceSpec()


class ContainerPort(_Struct, frozen=True):
    container_port: int
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class Container(_Struct, frozen=True):
    ports: tuple[ContainerPort, ...] | None = None


class PodSpec(_Struct, frozen=True):
    containers: tuple[Container, ...] = ()


class PodStatus(_Struct, frozen=True):
    host_ip: str = msgspec.field(default="", name="hostIP")


class PodView(_Struct, frozen=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
