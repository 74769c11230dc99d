"""Cluster addresses and node ports of Services: numbers that only one object may hold at a time.

What is in use is read off the cache's table of Services as it changes; numbers given to writes that are still on their
way are held on top of that until the write has ended. There is no second record that could come to disagree.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from motet.api import families
from motet.base.errors import FieldError, InternalError, invalid, invalid_object
from motet.base.ip import Network, family_of, parse_address, parse_network
from motet.kinds.kind import Json
from motet.kinds.service import HEADLESS, needs_cluster_ip, needs_health_check, needs_node_ports
from motet.store.document import Document
from motet.store.table import Table

SERVICES = "core/services"


@dataclass(frozen=True, slots=True)
class ServiceNumbers:
    """Where Services' addresses and node ports come from. `reserved` addresses are given only to who asks by name.

    `networks` are one for each family of addresses that the cluster has, the default first.
    """

    networks: tuple[str, ...] = ("10.43.0.0/16",)
    first_port: int = 30000
    last_port: int = 32767
    reserved: tuple[str, ...] = ("10.43.0.1", "10.43.0.10")


class _Port(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    port: int = 0
    node_port: int = 0
    protocol: str = "TCP"


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    ports: tuple[_Port, ...] | None = None
    health_check_node_port: int = 0


class _ServiceView(msgspec.Struct, gc=False, frozen=True):
    spec: _Spec = _Spec()


@dataclass(slots=True)
class Held:
    """What one write has taken and may have to give back."""

    addresses: set[str] = field(default_factory=set)
    ports: set[tuple[int, str]] = field(default_factory=set)


class _Holder(NamedTuple):
    uid: str
    name: str

    @classmethod
    def of(cls, document: Document) -> _Holder:
        return cls(document.meta.uid, f"{document.namespace}/{document.name}")


class ServiceAllocator:
    """Gives Services their numbers. One per manager; `close` stops following the table."""

    def __init__(self, table: Table, numbers: ServiceNumbers = ServiceNumbers()) -> None:
        networks = [parse_network(each) for each in numbers.networks]
        self._networks: dict[str, Network] = {family_of(each): each for each in networks}
        self._numbers = numbers
        self._addresses: dict[str, _Holder] = {}
        self._ports: dict[tuple[int, str], _Holder] = {}
        self._on_the_way = Held()
        for document in table:
            self._follow(None, document)
        self.close: Callable[[], None] = table.listen(self._follow)

    @contextmanager
    def numbered(self, service: Json, old: Json | None) -> Iterator[None]:
        """Fill in what `service` needs and keep it taken until the block (the write) ends. Raises Invalid, InternalError."""
        held = Held()
        errors: list[FieldError] = []
        try:
            self._address(service, old, held, errors)
            self._node_ports(service, old, held, errors)
            if errors:
                raise invalid_object("", "Service", service["metadata"]["name"], errors)
            yield
        finally:
            self._on_the_way.addresses -= held.addresses
            self._on_the_way.ports -= held.ports

    def _address(self, service: Json, old: Json | None, held: Held, errors: list[FieldError]) -> None:
        spec, was = service["spec"], (old or {}).get("spec") or {}
        if not needs_cluster_ip(spec):
            return
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        errors += families.settle(spec, was if needs_cluster_ip(was) and was else None, tuple(self._networks))
        if errors:
            return
        wanted = spec.get("clusterIPs") or []
        if wanted[:1] == [HEADLESS]:
            spec["clusterIP"], spec["clusterIPs"] = HEADLESS, [HEADLESS]
            return
        kept = was.get("clusterIPs") or [was.get("clusterIP")]
        found = []
        for index, family in enumerate(spec["ipFamilies"]):
            address = wanted[index] if index < len(wanted) else ""
            if not address:
                address = self._next_address(service["metadata"], family)
                self._take(address, family, held)
            elif address not in kept and (problem := self._take(address, family, held)):
                errors.append(invalid("spec.clusterIPs", wanted, f"failed to allocate IP {address}: {problem}"))
            found.append(address)
        if not errors:
            spec["clusterIP"], spec["clusterIPs"] = found[0], found

    def _take(self, address: str, family: str, held: Held) -> str:
        """Hold an address; why not, or an empty string."""
        network = self._networks[family]
        try:
            parsed = parse_address(address)
        except ValueError:
            return "not a valid IP address"
        if parsed not in network:
            return f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {network}"
        key = str(parsed)
        if key in self._addresses:
            return f"provided IP is already allocated to Service {self._addresses[key].name}"
        if key in self._on_the_way.addresses:
            return "provided IP is already allocated"
        self._on_the_way.addresses.add(key)
        held.addresses.add(key)
        return ""

    def _next_address(self, metadata: Json, family: str) -> str:
        """A free address, the same for the same name as long as it is free; the lowest ones are left to explicit requests."""
        network = self._networks[family]
        size = network.num_addresses - 2
        low = min(max(16, size // 16), 256)
        start = zlib.crc32(f"{metadata.get('namespace')}/{metadata.get('name')}".encode())
        for step in range(size):
            offset = low + (start + step) % (size - low) if step < size - low else step - (size - low)
            address = str(network[1 + offset])
            taken = address in self._addresses or address in self._on_the_way.addresses
            if not taken and address not in self._numbers.reserved:
                return address
        raise InternalError(f"failed to allocate a serviceIP: the range {network} is full")

    def _node_ports(self, service: Json, old: Json | None, held: Held, errors: list[FieldError]) -> None:
        spec = service["spec"]
        wants = needs_node_ports(spec)
        mine = _ports_of(old)
        for index, port in enumerate(spec.get("ports") or ()):
            protocol = port.get("protocol") or "TCP"
            number = port.get("nodePort") or 0
            if number and (number, protocol) not in mine:
                problem = self._take_port(number, protocol, held)
                if problem:
                    errors.append(invalid(f"spec.ports[{index}].nodePort", number, problem))
            elif not number and wants:
                port["nodePort"] = self._next_port(service["metadata"], port, held)
        if not needs_health_check(spec):
            return
        number = spec.get("healthCheckNodePort") or 0
        if not number:
            spec["healthCheckNodePort"] = self._next_port(service["metadata"], {"port": 0}, held)
        elif (number, "TCP") not in mine:
            problem = self._take_port(number, "TCP", held)
            if problem:
                errors.append(invalid("spec.healthCheckNodePort", number, problem))

    def _take_port(self, number: int, protocol: str, held: Held) -> str:
        first, last = self._numbers.first_port, self._numbers.last_port
        if not first <= number <= last:
            return f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
        if (number, protocol) in held.ports:
            return "provided port is already allocated"
        # Another protocol of the same Service may share the number, another Service may not.
        for any_protocol in _PROTOCOLS:
            if (holder := self._ports.get((number, any_protocol))) is not None:
                return f"provided port is already allocated to Service {holder.name}"
        if any((number, any_protocol) in self._on_the_way.ports - held.ports for any_protocol in _PROTOCOLS):
            return "provided port is already allocated"
        self._on_the_way.ports.add((number, protocol))
        held.ports.add((number, protocol))
        return ""

    def _next_port(self, metadata: Json, port: Json, held: Held) -> int:
        first = self._numbers.first_port
        size = self._numbers.last_port - first + 1
        start = zlib.crc32(f"{metadata.get('namespace')}/{metadata.get('name')}/{port.get('port')}".encode())
        for step in range(size):
            number = first + (start + step) % size
            if not any(number == other for other, _ in held.ports) and not self._take_port(
                number, port.get("protocol") or "TCP", held
            ):
                return number
        raise InternalError("failed to allocate a nodePort: the range is full")

    def _follow(self, old: Document | None, new: Document | None) -> None:
        if old is not None:
            addresses, ports = _numbers_of(old)
            holder = _Holder.of(old)
            for address in addresses:
                if self._addresses.get(address) == holder:
                    del self._addresses[address]
            for port in ports:
                if self._ports.get(port) == holder:
                    del self._ports[port]
        if new is not None:
            addresses, ports = _numbers_of(new)
            self._addresses.update(dict.fromkeys(addresses, _Holder.of(new)))
            self._ports.update(dict.fromkeys(ports, _Holder.of(new)))


_PROTOCOLS = ("TCP", "UDP", "SCTP")


def _numbers_of(document: Document) -> tuple[list[str], list[tuple[int, str]]]:
    spec = document.view(_ServiceView).spec
    ports = [(port.node_port, port.protocol) for port in spec.ports or () if port.node_port]
    if spec.health_check_node_port:
        ports.append((spec.health_check_node_port, "TCP"))
    addresses = [each for each in spec.cluster_ips or (spec.cluster_ip,) if each not in ("", HEADLESS)]
    # In their one form, since IPv6 has several for each.
    return [str(parse_address(each)) if ":" in each else each for each in addresses], ports


def _ports_of(service: Json | None) -> set[tuple[int, str]]:
    spec = (service or {}).get("spec") or {}
    found = {
        (port["nodePort"], port.get("protocol") or "TCP") for port in spec.get("ports") or () if port.get("nodePort")
    }
    if spec.get("healthCheckNodePort"):
        found.add((spec["healthCheckNodePort"], "TCP"))
    return found
