"""What the kernel should hold so that every peer's pods are reached, and the steps from what it holds to that. Pure.

One VXLAN device (RFC 7348) with learning off and no multicast. Each peer is three static entries: a route to its pods
by way of the peer's end of the tunnel, the hardware address of that end, and the node to which frames for that
hardware address are sent. The device carries the bridge's address a second time, so that whatever is translated on its way
out gets an address whose answers come back through the tunnel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from motet.base.ip import Address as IP
from motet.base.ip import Network
from motet.network.overlay.peers import Peer

# IPv4, UDP, VXLAN and inner Ethernet headers.
OVERHEAD = 50


@dataclass(frozen=True, slots=True)
class Device:
    """The node's end of the tunnel. `mtu` is in bytes; `local` is the address that packets to other nodes come from."""

    name: str
    vni: int
    port: int
    local: IPv4Address
    mac: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Address:
    """Of the device itself: what connections from outside the cluster are masqueraded to when a remote pod answers them."""

    address: IP


@dataclass(frozen=True, slots=True)
class Route:
    """To a peer's pods. `source` is what the node's own connections come from: an address of the pod network."""

    to: Network
    via: IP
    source: IP


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The hardware address of a peer's end."""

    address: IP
    mac: str


@dataclass(frozen=True, slots=True)
class Forward:
    """The node to send frames for a hardware address to."""

    mac: str
    node: IPv4Address


Entry = Address | Route | Neighbour | Forward


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is there. `device` is None when there is none, or one that cannot be ours (another kind, other numbers)."""

    device: Device | None = None
    up: bool = False
    # A device of that name exists, ours or not.
    occupied: bool = False
    # It takes packets from any address, those of clients that came to another node.
    lenient: bool = False
    entries: frozenset[Entry] = frozenset()


@dataclass(frozen=True, slots=True)
class Make:
    device: Device


@dataclass(frozen=True, slots=True)
class Remove:
    name: str


@dataclass(frozen=True, slots=True)
class Raise:
    """Set the device up, with this many bytes of MTU."""

    name: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Relax:
    """Let the device take packets whatever address they come from."""

    name: str


@dataclass(frozen=True, slots=True)
class Put:
    entry: Entry


@dataclass(frozen=True, slots=True)
class Drop:
    entry: Entry


Step = Make | Remove | Raise | Relax | Put | Drop


def decide(device: Device, gateways: Sequence[IP], peers: Sequence[Peer], kernel: Kernel) -> list[Step]:
    """The steps that give `peers` their way. `gateways` are the bridge's own addresses, one for each family; a node is a peer
    once for each family that it has pods of. Without peers there is no device; a second call has nothing to do."""
    if not peers:
        return [Remove(device.name)] if kernel.device is not None else []
    steps: list[Step] = []
    held = kernel.entries
    if kernel.device is None or _identity(kernel.device) != _identity(device):
        if kernel.occupied:
            steps.append(Remove(device.name))
        steps += [Make(device), Relax(device.name), Raise(device.name, device.mtu)]
        held = frozenset()
    else:
        if not kernel.lenient:
            steps.append(Relax(device.name))
        if not kernel.up or kernel.device.mtu != device.mtu:
            steps.append(Raise(device.name, device.mtu))
        # The kernel forgets routes of a device that is down, whatever it said of them before.
        if not kernel.up:
            held = frozenset(entry for entry in held if not isinstance(entry, Route))
    wanted = frozenset(_entries(peers, gateways))
    steps += [Drop(entry) for entry in _ordered(held - wanted, routes_first=True)]
    steps += [Put(entry) for entry in _ordered(wanted - held, routes_first=False)]
    return steps


def _identity(device: Device) -> tuple[object, ...]:
    """What cannot be changed on a device that exists."""
    return device.vni, device.port, device.local, device.mac


def _entries(peers: Iterable[Peer], gateways: Sequence[IP]) -> Iterable[Entry]:
    yield from map(Address, gateways)
    for peer in peers:
        gateway = next(each for each in gateways if each.version == peer.pods.version)
        yield Forward(peer.mac, peer.address)
        yield Neighbour(peer.via, peer.mac)
        yield Route(peer.pods, peer.via, gateway)


def _ordered(entries: Iterable[Entry], *, routes_first: bool) -> list[Entry]:
    """Routes come last when made and go first when taken, so that no packet is sent where nobody answers yet."""
    return sorted(entries, key=lambda entry: (isinstance(entry, Route) is not routes_first, str(entry)))
