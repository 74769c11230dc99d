"""From the name of a Service to the addresses behind it, as of now: the manager asks no DNS of the cluster's.

Only what is ready is asked. The manager has to be able to reach pods: it does wherever a node runs beside it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from motet.base.errors import MotetError
from motet.base.selectors import Requirement, Selector
from motet.store.table import Table

SERVICES = "core/services"
SLICES = "discovery.k8s.io/endpointslices"
_SERVICE_LABEL = "kubernetes.io/service-name"

Lookup = Callable[[str], Table]


class NoBackend(MotetError):
    """Nobody answers for a Service. `reason` is what upstream's conditions call it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Target(msgspec.Struct, frozen=True):
    """Where to connect: an address, or the name of a host outside."""

    host: str
    port: int


class _Port(msgspec.Struct, gc=False, frozen=True):
    name: str | None = None
    port: int = 0
    protocol: str = "TCP"


class _ServiceSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "ClusterIP"
    external_name: str = ""
    ports: tuple[_Port, ...] = ()


class _Service(msgspec.Struct, gc=False, frozen=True):
    spec: _ServiceSpec = _ServiceSpec()


class _Conditions(msgspec.Struct, gc=False, frozen=True):
    ready: bool | None = None


class _Endpoint(msgspec.Struct, gc=False, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: _Conditions = _Conditions()


class _Slice(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    address_type: str = "IPv4"
    endpoints: tuple[_Endpoint, ...] | None = None
    ports: tuple[_Port, ...] | None = None


def targets(lookup: Lookup, namespace: str, name: str, port: int) -> list[Target]:
    """Every ready backend of a Service's port, in random order. Raises NoBackend."""
    service = lookup(SERVICES).get(name, namespace)
    if service is None:
        raise NoBackend(f'service "{name}" not found', "ServiceNotFound")
    spec = service.view(_Service).spec
    if spec.type == "ExternalName":
        return [Target(spec.external_name, port)]
    wanted = next((each for each in spec.ports if each.port == port), None)
    if wanted is None:
        raise NoBackend(f'no service port {port} found for service "{name}"', "ServicePortError")
    label = Selector((Requirement(_SERVICE_LABEL, "=", (name,)),))
    found = []
    for document in lookup(SLICES).select(namespace, label):
        piece = document.view(_Slice)
        if piece.address_type == "FQDN":
            continue
        numbers = [each.port for each in piece.ports or () if (each.name or "") == (wanted.name or "")]
        ready = [each for each in piece.endpoints or () if each.conditions.ready is not False]
        found += [Target(address, number) for each in ready for address in each.addresses for number in numbers]
    if not found:
        raise NoBackend(f'no endpoints available for service "{name}"', "MissingEndpoints")
    random.shuffle(found)
    return found
