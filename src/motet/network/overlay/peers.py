"""The other nodes, as far as packets are concerned: pure, from Node documents.

A node's end of the tunnel needs nothing but its document: the hardware address of that end follows from the node's pod
network, so that no node has to publish one and every node computes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

import msgspec

from motet.base.ip import Address, Network, overlap, parse_network, within
from motet.kinds import node
from motet.network.config import NetworkConfig

# Locally administered, unicast (IEEE 802: the second-lowest bit of the first octet set, the lowest not).
_MAC_PREFIX = "0a:6d"


class _Address(msgspec.Struct, gc=False, frozen=True):
    type: str
    address: str


class _Spec(msgspec.Struct, gc=False, frozen=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")


class _Status(msgspec.Struct, gc=False, frozen=True):
    addresses: tuple[_Address, ...] | None = None


class _Metadata(msgspec.Struct, gc=False, frozen=True):
    annotations: dict[str, str] | None = None


class NodeView(msgspec.Struct, gc=False, frozen=True):
    """What the overlay reads of a Node."""

    metadata: _Metadata = _Metadata()
    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def key(self) -> str:
        """The public WireGuard key it has published, in base64; empty for none."""
        return (self.metadata.annotations or {}).get(node.WIREGUARD_KEY, "")

    @property
    def internal(self) -> str:
        """Where other nodes send its packets: the first InternalIP of IPv4, else the first; empty for none."""
        found = [each.address for each in self.status.addresses or () if each.type == "InternalIP"]
        return next((each for each in found if ":" not in each), found[0] if found else "")

    def pods(self, version: int) -> str:
        """Its pod network of one IP version; empty for none."""
        listed = self.spec.pod_cidrs or (self.spec.pod_cidr,)
        return next((each for each in listed if each and (":" in each) == (version == 6)), "")


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """Another node: where its packets are sent, and which pods they are for. `key` is its WireGuard's, empty for none.

    One of its IPv6 pods is still met at the one end of the tunnel it has, whose hardware address follows from its IPv4 pods.
    """

    name: str
    address: IPv4Address
    pods: Network
    key: str = ""
    mac: str = ""

    def __post_init__(self) -> None:
        if not self.mac:
            object.__setattr__(self, "mac", mac_of(self.pods))

    @property
    def via(self) -> Address:
        """The next hop's address on the overlay: the network's own, which no pod can have."""
        return self.pods.network_address


def mac_of(pods: Network) -> str:
    """The hardware address of the tunnel's end on the node with this IPv4 pod network: `0a:6d:0a:2a:01:00`."""
    return ":".join((_MAC_PREFIX, *(f"{octet:02x}" for octet in pods.network_address.packed)))


def of_nodes(
    nodes: Iterable[tuple[str, NodeView]], own_name: str, own_pods: Network, all_pods: Network
) -> tuple[tuple[Peer, ...], tuple[str, ...]]:
    """The peers of node `own_name` for one family of pods, by name, and why other nodes are left out.

    A node without an address or without pods is not complete yet and left out silently. One whose pod network lies
    outside the cluster's, or overlaps another's, or whose address another has, would take packets meant for somebody
    else: the first by name keeps them.
    """
    taken: list[tuple[Network, str]] = [(own_pods, own_name)]
    addresses: dict[IPv4Address, str] = {}
    found: list[Peer] = []
    complaints: list[str] = []
    for name, view in sorted(nodes, key=lambda item: item[0]):
        cidr = view.pods(own_pods.version)
        if name == own_name or not cidr or not view.spec.pod_cidr:
            continue
        internal = view.internal
        if not internal:
            continue
        try:
            address, pods, mac = IPv4Address(internal), parse_network(cidr), mac_of(IPv4Network(view.spec.pod_cidr))
        except (AddressValueError, NetmaskValueError, ValueError) as error:
            complaints.append(f"node {name}: {error}")
            continue
        if not within(pods, all_pods):
            complaints.append(f"node {name}: its pod network {pods} is not part of {all_pods}")
        elif holder := next((who for network, who in taken if overlap(network, pods)), ""):
            complaints.append(f"node {name}: its pod network {pods} overlaps that of node {holder}")
        elif address in addresses:
            complaints.append(f"node {name}: its address {address} is also that of node {addresses[address]}")
        else:
            taken.append((pods, name))
            addresses[address] = name
            found.append(Peer(name, address, pods, view.key, mac))
    return tuple(found), tuple(complaints)


def of_families(
    nodes: Sequence[tuple[str, NodeView]], config: NetworkConfig
) -> tuple[tuple[Peer, ...], tuple[str, ...]]:
    """`of_nodes` for every family that node `config` has. A node that has no place for IPv4 pods has none for others."""
    found, complaints = of_nodes(nodes, config.node_name, config.pods, config.all_pods)
    if (six := config.ipv6) is not None:
        names = {peer.name for peer in found}
        more, others = of_nodes(nodes, config.node_name, six.pods, six.all_pods)
        found += tuple(peer for peer in more if peer.name in names)
        complaints += tuple(each for each in others if each not in complaints)
    return found, complaints
