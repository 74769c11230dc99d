"""The other nodes, as far as packets are concerned: pure, from Node documents.

A node's end of the tunnel needs nothing but its document: the hardware address of that end follows from the node's pod
network, so that no node has to publish one and every node computes the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

import msgspec

from motet.kinds import node

# Locally administered, unicast (IEEE 802: the second-lowest bit of the first octet set, the lowest not).
_MAC_PREFIX = "0a:6d"


class _Address(msgspec.Struct, gc=False, frozen=True):
    type: str
    address: str


class _Spec(msgspec.Struct, gc=False, frozen=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")


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


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """Another node: where its packets are sent, and which pods they are for. `key` is its WireGuard's, empty for none."""

    name: str
    address: IPv4Address
    pods: IPv4Network
    key: str = ""

    @property
    def mac(self) -> str:
        return mac_of(self.pods)

    @property
    def via(self) -> IPv4Address:
        """The next hop's address on the overlay: the network's own, which no pod can have."""
        return self.pods.network_address


def mac_of(pods: IPv4Network) -> str:
    """The hardware address of the tunnel's end on the node with this pod network: `0a:6d:0a:2a:01:00`."""
    return ":".join((_MAC_PREFIX, *(f"{octet:02x}" for octet in pods.network_address.packed)))


def of_nodes(
    nodes: Iterable[tuple[str, NodeView]], own_name: str, own_pods: IPv4Network, all_pods: IPv4Network
) -> tuple[tuple[Peer, ...], tuple[str, ...]]:
    """The peers of node `own_name`, by name, and why other nodes are left out.

    A node without an address or without pods is not complete yet and left out silently. One whose pod network lies
    outside the cluster's, or overlaps another's, or whose address another has, would take packets meant for somebody
    else: the first by name keeps them.
    """
    taken: list[tuple[IPv4Network, str]] = [(own_pods, own_name)]
    addresses: dict[IPv4Address, str] = {}
    found: list[Peer] = []
    complaints: list[str] = []
    for name, view in sorted(nodes, key=lambda item: item[0]):
        if name == own_name or not view.spec.pod_cidr:
            continue
        internal = next((item.address for item in view.status.addresses or () if item.type == "InternalIP"), "")
        if not internal:
            continue
        try:
            address, pods = IPv4Address(internal), IPv4Network(view.spec.pod_cidr)
        except (AddressValueError, NetmaskValueError, ValueError) as error:
            complaints.append(f"node {name}: {error}")
            continue
        if not pods.subnet_of(all_pods):
            complaints.append(f"node {name}: its pod network {pods} is not part of {all_pods}")
        elif holder := next((who for network, who in taken if network.overlaps(pods)), ""):
            complaints.append(f"node {name}: its pod network {pods} overlaps that of node {holder}")
        elif address in addresses:
            complaints.append(f"node {name}: its address {address} is also that of node {addresses[address]}")
        else:
            taken.append((pods, name))
            addresses[address] = name
            found.append(Peer(name, address, pods, view.key))
    return tuple(found), tuple(complaints)
