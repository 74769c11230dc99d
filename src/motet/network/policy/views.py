"""What policies are computed from: narrow views of NetworkPolicies and pods, and both as values of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from motet.base.selectors import EVERYTHING, Selector, from_document
from motet.kinds import attachments
from motet.kinds.attachments import NOWHERE, Attachments
from motet.store.document import Document

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
LAST_PORT = 65535


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class PortView(_Struct, frozen=True):
    protocol: str | None = None
    port: int | str | None = None
    end_port: int | None = None


class BlockView(_Struct, frozen=True):
    cidr: str
    # `except` is a word of the language.
    excepted: tuple[str, ...] | None = msgspec.field(default=None, name="except")


class PeerView(_Struct, frozen=True):
    pod_selector: dict[str, Any] | None = None
    namespace_selector: dict[str, Any] | None = None
    ip_block: BlockView | None = None


class IngressView(_Struct, frozen=True):
    ports: tuple[PortView, ...] | None = None
    peers: tuple[PeerView, ...] | None = msgspec.field(default=None, name="from")


class EgressView(_Struct, frozen=True):
    ports: tuple[PortView, ...] | None = None
    peers: tuple[PeerView, ...] | None = msgspec.field(default=None, name="to")


class PolicySpec(_Struct, frozen=True):
    pod_selector: dict[str, Any] | None = None
    policy_types: tuple[str, ...] | None = None
    ingress: tuple[IngressView, ...] | None = None
    egress: tuple[EgressView, ...] | None = None


class PolicyView(_Struct, frozen=True):
    """A NetworkPolicy."""

    spec: PolicySpec = PolicySpec()


class _ContainerPort(_Struct, frozen=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"


class _Container(_Struct, frozen=True):
    ports: tuple[_ContainerPort, ...] | None = None
    restart_policy: str = ""


class _PodSpec(_Struct, frozen=True):
    node_name: str = ""
    host_network: bool = False
    containers: tuple[_Container, ...] | None = None
    init_containers: tuple[_Container, ...] | None = None


class _PodIp(_Struct, frozen=True):
    ip: str = ""


class _PodStatus(_Struct, frozen=True):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[_PodIp, ...] | None = msgspec.field(default=None, name="podIPs")


class PodView(_Struct, frozen=True):
    """A Pod or a PodAddress."""

    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    @property
    def talks(self) -> bool:
        """Whether it has an address of its own that somebody else cannot have yet."""
        spec, status = self.spec, self.status
        return bool(status.pod_ip) and not spec.host_network and status.phase not in ("Succeeded", "Failed")

    def named_ports(self) -> frozenset[tuple[str, str, int]]:
        """(name, protocol, number) of every port with a name."""
        sidecars = (each for each in self.spec.init_containers or () if each.restart_policy == "Always")
        return frozenset(
            (port.name, port.protocol, port.container_port)
            for container in (*(self.spec.containers or ()), *sidecars)
            for port in container.ports or ()
            if port.name
        )


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod, or what stands for one: whoever has the address is meant by selectors of these labels.

    `address` is of IPv4, `second` of IPv6; empty for none.
    """

    address: str
    namespace: str
    labels: Mapping[str, str]
    ports: frozenset[tuple[str, str, int]] = frozenset()
    # Runs here, so its policies are enforced here.
    local: bool = False
    networks: Attachments = field(default_factory=lambda: NOWHERE)
    # The bridge's port it is connected to, of pods of this node; empty when that is not known.
    port: str = ""
    second: str = ""

    def by(self, version: int) -> Pod | None:
        """The pod as it is met by one version of IP: with its address of that as `address`. None if it has none."""
        if version == 4:
            return self if self.address else None
        return replace(self, address=self.second) if self.second else None


def pod_of(document: Document, here: str) -> Pod | None:
    """The Pod or PodAddress as rules see it, or None when it has no address of its own. `here` is this node's name."""
    view = document.view(PodView)
    if not view.talks:
        return None
    status = view.status
    found = [each.ip for each in status.pod_ips or ()] or [status.pod_ip]
    first, second = (next((each for each in found if (":" in each) == six), "") for six in (False, True))
    return _pod(document, view, (first, second), local=view.spec.node_name == here)


def pod_at(address: str, document: Document, port: str = "", second: str = "") -> Pod:
    """A pod of this node that has `address`, whatever the API says of that."""
    return _pod(document, document.view(PodView), (address, second), local=True, port=port)


def _pod(document: Document, view: PodView, addresses: tuple[str, str], *, local: bool, port: str = "") -> Pod:
    meta = document.meta
    networks = attachments.of(meta.annotations, document.namespace)
    first, second = addresses
    return Pod(first, document.namespace, meta.labels or {}, view.named_ports(), local, networks, port, second)


@dataclass(frozen=True, slots=True)
class Policy:
    """A NetworkPolicy with its selector read."""

    namespace: str
    pods: Selector
    view: PolicySpec

    @property
    def isolates_ingress(self) -> bool:
        return "Ingress" in self.types

    @property
    def isolates_egress(self) -> bool:
        return "Egress" in self.types

    @property
    def types(self) -> tuple[str, ...]:
        """Defaulted as the API does it, for documents older than that default."""
        return self.view.policy_types or (("Ingress", "Egress") if self.view.egress else ("Ingress",))


def policy_of(namespace: str, view: PolicyView) -> Policy:
    """Raises ValueError for a selector that cannot be read."""
    return Policy(namespace, selector_of(view.spec.pod_selector), view.spec)


def selector_of(document: Mapping[str, Any] | None) -> Selector:
    """A selector where none means everything. Raises ValueError."""
    return from_document(document) if document else EVERYTHING
