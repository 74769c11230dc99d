"""Published ports that somebody already has: another service, another project, or a process of this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from motet.cli.compose.model import Project
from motet.cli.portviews import PodView, ServiceView
from motet.store.document import Document


class Port(NamedTuple):
    """A port on the outside. `protocol` is TCP or UDP; an empty address stands for all."""

    protocol: str
    number: int
    address: str = ""

    def __str__(self) -> str:
        where = f"{self.address}:" if self.address else ""
        return f"{where}{self.number}/{self.protocol.lower()}"

    def meets(self, other: Port) -> bool:
        """Whether both cannot be had at once."""
        same = (self.protocol, self.number) == (other.protocol, other.number)
        return same and (not self.address or not other.address or self.address == other.address)


def wanted(project: Project) -> list[tuple[Port, str]]:
    """Every port the file asks for by number, and the service that does."""
    return [
        (Port(port.protocol, port.published, port.host_ip if port.host_ip != "0.0.0.0" else ""), service.name)
        for service in project.services
        for port in service.ports
        if port.published
    ]


def taken(services: Iterable[Document], pods: Iterable[Document]) -> Iterator[tuple[Port, str, str]]:
    """(port, namespace, what has it) of everything in the cluster that is reached from outside."""
    for document in services:
        spec = document.view(ServiceView).spec
        for port in spec.ports or ():
            if spec.type == "LoadBalancer":
                yield Port(port.protocol, port.port), document.namespace, document.name
            if spec.type in ("LoadBalancer", "NodePort") and port.node_port:
                yield Port(port.protocol, port.node_port), document.namespace, document.name
    for document in pods:
        for container in document.view(PodView).spec.containers:
            for used in container.ports or ():
                if used.host_port:
                    address = "" if used.host_ip in ("", "0.0.0.0") else used.host_ip
                    yield Port(used.protocol, used.host_port, address), document.namespace, document.name


def conflicts(
    project: Project, in_cluster: Iterable[tuple[Port, str, str]], on_machine: Mapping[Port, str]
) -> list[str]:
    """A sentence for every port that cannot be had. `on_machine` says which process has a port, as `taken_here` found."""
    found: list[str] = []
    asked = wanted(project)
    for index, (port, service) in enumerate(asked):
        found += [
            f"port {port} is published by both {other} and {service}"
            for earlier, other in asked[:index]
            if port.meets(earlier)
        ]
    ours: list[Port] = []
    foreign: list[tuple[Port, str]] = []
    for port, namespace, name in in_cluster:
        if namespace == project.name:
            ours.append(port)
        else:
            foreign.append((port, f"service {name.removesuffix('-published')} of {namespace}"))
    for port, service in asked:
        holders = dict.fromkeys(who for other, who in foreign if port.meets(other))
        if holders:
            found += [f"port {port}, which {service} publishes, is taken by {who}" for who in holders]
        elif port in on_machine and not any(port.meets(other) for other in ours):
            found.append(f"port {port}, which {service} publishes, is taken on this machine by {on_machine[port]}")
    return list(dict.fromkeys(found))


def taken_here(ports: Iterable[Port]) -> dict[Port, str]:
    """Of these ports, those that a process of this machine listens on, and which process that is."""
    return {port: _owner(port) for port in set(ports) if not _free(port)}


def _free(port: Port) -> bool:
    kind = socket.SOCK_STREAM if port.protocol == "TCP" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if port.protocol == "TCP":
            # Connections that have just ended are not in the way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.address, port.number))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def everywhere(port: Port) -> str:
    """The process that listens on the port on all addresses at once; empty when none does."""
    return _owner(port) if any(_inodes(port, on_all=True)) else ""


def _owner(port: Port) -> str:
    """`nginx (process 812)`, as far as /proc tells."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or not sockets:
            continue
        with contextlib.suppress(OSError):
            for descriptor in (directory / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in sockets:
                        return f"{(directory / 'comm').read_text().strip()} (process {directory.name})"
    return "another process"


def _inodes(port: Port, *, on_all: bool = False) -> Iterator[str]:
    """Sockets bound to the port, `on_all` addresses only (proc(5), /proc/net/tcp)."""
    name = port.protocol.lower()
    for table in (name, f"{name}6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                address, _, number = fields[1].rpartition(":")
                listening = name == "udp" or fields[3] == "0A"
                if listening and int(number, 16) == port.number and not (on_all and address.strip("0")):
                    yield fields[9]
