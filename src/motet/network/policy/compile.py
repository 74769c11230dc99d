"""Policies and pods -> for every isolated pod on this node, the peers it may talk to. Pure.

Follows Kubernetes "Network Policies": a pod that no policy selects for a direction is not isolated in it; one that some
select may do what any of them allows. Pods that may do the same share a class, so what is written down grows with
the number of different answers and not with the number of pairs of pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Protocol

from motet.base.selectors import EVERYTHING, Selector
from motet.network.policy.boxes import ANY_PROTOCOL, LAST_PORT, Box, disjoint, spans
from motet.network.policy.views import PROTOCOLS, EgressView, IngressView, PeerView, Pod, Policy, PortView, selector_of

# All addresses, by version of IP.
EVERYWHERE = {4: (0, 2**32 - 1), 6: (0, 2**128 - 1)}
# (protocols, ports), as in a Box.
Ports = tuple[tuple[int, int], tuple[int, int]]
ALL_PORTS: Ports = (ANY_PROTOCOL, (0, LAST_PORT))


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a class of pods may do in one direction, in three disjoint-by-kind parts.

    `peers`: addresses of pods, on any port. `exact`: (address, protocol, port). `boxes`: disjoint ranges.
    """

    peers: frozenset[str] = frozenset()
    exact: frozenset[tuple[str, int, int]] = frozenset()
    boxes: tuple[Box, ...] = ()

    def admits(self, address: str, protocol: int, port: int) -> bool:
        """What the kernel decides from it; 0 is the port of protocols that have none."""
        if address in self.peers or (address, protocol, port) in self.exact:
            return True
        number = _number(address)
        return any(box.holds(number, protocol, port) for box in self.boxes)


@dataclass(frozen=True, slots=True)
class Compiled:
    """Per direction: the isolated pods of this node by address. Pods that are missing may do everything."""

    ingress: Mapping[str, Allowed] = field(default_factory=dict)
    egress: Mapping[str, Allowed] = field(default_factory=dict)


def compile_policies(
    policies: Iterable[Policy],
    pods: Iterable[Pod],
    namespaces: Mapping[str, Mapping[str, str]],
    version: int = 4,
) -> Compiled:
    """What this node has to enforce for one version of IP, which `pods` have their addresses of.

    `namespaces` are labels by name; one not in it has no labels but its name's.

    Raises ValueError for a selector or an address that cannot be read.
    """
    by_namespace: dict[str, list[Policy]] = {}
    for policy in policies:
        by_namespace.setdefault(policy.namespace, []).append(policy)
    if not by_namespace:
        return Compiled()
    world = _World(list(pods), namespaces, version)
    ingress: dict[str, Allowed] = {}
    egress: dict[str, Allowed] = {}
    for pod in world.pods:
        if not pod.local:
            continue
        selecting = [each for each in by_namespace.get(pod.namespace, ()) if each.pods.matches(pod.labels)]
        inward = [each for each in selecting if each.isolates_ingress]
        outward = [each for each in selecting if each.isolates_egress]
        if inward:
            rules = [(each.namespace, rule) for each in inward for rule in each.view.ingress or ()]
            ingress[pod.address] = world.ingress(rules, pod)
        if outward:
            rules_out = [(each.namespace, rule) for each in outward for rule in each.view.egress or ()]
            egress[pod.address] = world.egress(rules_out)
    return Compiled(ingress, egress)


class _World:
    """Everything selectors range over, and what they gave, remembered for the length of one compilation."""

    def __init__(self, pods: list[Pod], namespaces: Mapping[str, Mapping[str, str]], version: int) -> None:
        self.pods = pods
        self._version = version
        self._namespaces = namespaces
        # Pods of one controller carry the same labels: a selector is asked once for all of them.
        self._groups: dict[tuple[str, frozenset[tuple[str, str]]], list[Pod]] = {}
        for pod in pods:
            self._groups.setdefault((pod.namespace, frozenset(pod.labels.items())), []).append(pod)
        self._selected: dict[tuple[str, Selector, Selector], list[Pod]] = {}
        self._answers: dict[object, Allowed] = {}

    def ingress(self, rules: Sequence[tuple[str, IngressView]], pod: Pod) -> Allowed:
        """Named ports are those of the pod itself."""
        key = ("in", tuple((namespace, id(rule)) for namespace, rule in rules), pod.ports)
        if key not in self._answers:
            parts = _Parts()
            for namespace, rule in rules:
                ports = [found for port in rule.ports or () for found in _ports(port, pod.ports)]
                self._add(parts, namespace, rule.peers, lambda peer, ports=ports: ports, bool(rule.ports))
            self._answers[key] = parts.allowed()
        return self._answers[key]

    def egress(self, rules: Sequence[tuple[str, EgressView]]) -> Allowed:
        """Named ports are those of whoever is talked to."""
        key = ("out", tuple((namespace, id(rule)) for namespace, rule in rules))
        if key not in self._answers:
            parts = _Parts()
            for namespace, rule in rules:

                def ports_of(peer: Pod | None, rule: EgressView = rule) -> list[Ports]:
                    named = peer.ports if peer else frozenset()
                    return [found for port in rule.ports or () for found in _ports(port, named)]

                peers = rule.peers
                if any(isinstance(port.port, str) for port in rule.ports or ()):
                    # A name means nothing for the world outside, and something else for every pod.
                    if not peers:
                        self._add(parts, namespace, (PeerView(namespace_selector={}),), ports_of, True)
                    self._add_pods_in_blocks(parts, peers or (), ports_of)
                self._add(parts, namespace, peers, ports_of, bool(rule.ports))
            self._answers[key] = parts.allowed()
        return self._answers[key]

    def _add(
        self,
        parts: _Parts,
        namespace: str,
        peers: tuple[PeerView, ...] | None,
        ports_of: _PortsOf,
        limited: bool,
    ) -> None:
        if not peers:
            parts.add_range(EVERYWHERE[self._version], ports_of(None) if limited else [ALL_PORTS])
        for peer in peers or ():
            if peer.ip_block is not None:
                for span in _block(peer.ip_block.cidr, peer.ip_block.excepted or (), self._version):
                    parts.add_range(span, ports_of(None) if limited else [ALL_PORTS])
                continue
            for pod in self._peers(namespace, peer):
                parts.add_pod(pod.address, ports_of(pod) if limited else [ALL_PORTS])

    def _add_pods_in_blocks(self, parts: _Parts, peers: Iterable[PeerView], ports_of: _PortsOf) -> None:
        """Pods whose addresses are meant by blocks, each with ports of its own."""
        for peer in peers:
            if peer.ip_block is None:
                continue
            found = _block(peer.ip_block.cidr, peer.ip_block.excepted or (), self._version)
            for pod in self.pods:
                if any(low <= _number(pod.address) <= high for low, high in found):
                    parts.add_pod(pod.address, ports_of(pod))

    def _peers(self, namespace: str, peer: PeerView) -> list[Pod]:
        """The pods that a peer's selectors mean, in a policy of `namespace`."""
        pods = selector_of(peer.pod_selector)
        if peer.namespace_selector is None:
            within, spaces = namespace, EVERYTHING
        else:
            within, spaces = "", selector_of(peer.namespace_selector)
        key = (within, spaces, pods)
        if key not in self._selected:
            self._selected[key] = [
                pod
                for (held, labels), group in self._groups.items()
                if (held == within if within else spaces.matches(self._labels(held))) and pods.matches(dict(labels))
                for pod in group
            ]
        return self._selected[key]

    def _labels(self, namespace: str) -> Mapping[str, str]:
        return self._namespaces.get(namespace) or {"kubernetes.io/metadata.name": namespace}


class _PortsOf(Protocol):
    """Callable: the ports of a rule, for one peer or (None) for an address that is no pod's."""

    def __call__(self, peer: Pod | None) -> list[Ports]: ...


@dataclass(slots=True)
class _Parts:
    """An answer while it is put together."""

    peers: set[str] = field(default_factory=set)
    exact: set[tuple[str, int, int]] = field(default_factory=set)
    boxes: set[Box] = field(default_factory=set)

    def add_pod(self, address: str, ports: Iterable[Ports]) -> None:
        number = _number(address)
        for protocols, (low, high) in ports:
            if (protocols, (low, high)) == ALL_PORTS:
                self.peers.add(address)
            elif low == high:
                self.exact.add((address, protocols[0], low))
            else:
                self.boxes.add(Box((number, number), protocols, (low, high)))

    def add_range(self, span: tuple[int, int], ports: Iterable[Ports]) -> None:
        self.boxes.update(Box(span, protocols, numbers) for protocols, numbers in ports)

    def allowed(self) -> Allowed:
        exact = frozenset(each for each in self.exact if each[0] not in self.peers)
        return Allowed(frozenset(self.peers), exact, disjoint(self.boxes))


def _ports(port: PortView, named: frozenset[tuple[str, str, int]]) -> Iterator[Ports]:
    """What one entry of a rule's ports allows; nothing for a name that nobody has."""
    protocol = port.protocol or "TCP"
    number = PROTOCOLS.get(protocol)
    if number is None:
        return
    if port.port is None:
        yield (number, number), (0, LAST_PORT)
    elif isinstance(port.port, int):
        yield (number, number), (port.port, port.end_port or port.port)
    else:
        for name, spoken, held in sorted(named):
            if name == port.port and spoken == protocol:
                yield (number, number), (held, held)


def _block(cidr: str, excepted: Sequence[str], version: int) -> list[tuple[int, int]]:
    """Nothing for a network of another IP version than is asked for. Raises ValueError."""
    if _version(cidr) != version:
        return []
    kind = IPv4Network if version == 4 else IPv6Network
    holes = [kind(each, strict=False) for each in excepted if _version(each) == version]
    return spans(kind(cidr, strict=False), holes)


def _version(text: str) -> int:
    return 6 if ":" in text else 4


def _number(address: str) -> int:
    """Raises ValueError."""
    return int(IPv6Address(address) if ":" in address else IPv4Address(address))
