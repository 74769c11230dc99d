"""What kernel and WireGuard should hold so that every peer's pods are reached through it, and the steps to that. Pure.

One device; a peer is a key, where it is, and the addresses that are its own: its pod network, which has its end of the tunnel
in it. WireGuard lets nobody send under addresses that are not its own (its "cryptokey routing"), so a node that lies gets
nothing that is meant for others and passes for nobody. Routes to peers' pods are in a table of their own, to which rules
lead; a fence in it stops what would otherwise leave by other routes, in clear, while the device is away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network

from motet.base.ip import Address as IP
from motet.base.ip import Network
from motet.network.overlay.peers import Peer

# IPv4, UDP, WireGuard's header and its tag.
OVERHEAD = 60
# Seconds; has a peer speak first when it comes up, and keeps the way open through what forgets idle flows.
KEEPALIVE = 25
# Sessions are renewed every two minutes and end after three (WireGuard paper, section 6).
_SESSION_SECONDS = 180

Endpoint = tuple[IPv4Address, int]


@dataclass(frozen=True, slots=True, order=True)
class Remote:
    """A peer as WireGuard is told of it."""

    key: str
    endpoint: Endpoint | None
    allowed: tuple[Network, ...]
    keepalive: int = KEEPALIVE


@dataclass(frozen=True, slots=True)
class Session:
    """A peer as WireGuard has it. `handshake`: seconds since the epoch of the last one, 0 for never."""

    remote: Remote
    handshake: float = 0.0


@dataclass(frozen=True, slots=True)
class Configuration:
    """What WireGuard says of itself; `key` is the public half of its own."""

    key: str
    port: int
    sessions: tuple[Session, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """Of the device: what connections are masqueraded to that a remote pod answers."""

    address: IP


@dataclass(frozen=True, slots=True)
class Route:
    """To a peer's pods, in a routing table. `source` is what the node's own connections come from."""

    to: Network
    source: IP
    table: int


@dataclass(frozen=True, slots=True)
class Fence:
    """Whatever is for pods and has no other route in this table is dropped."""

    pods: Network
    table: int


@dataclass(frozen=True, slots=True)
class Aside:
    """What goes here is none of this table's business."""

    to: Network
    table: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Packets of one version of IP that have this bit in their mark (0: any), to these addresses (None: any), look into this
    routing table."""

    rank: int
    table: int
    mark: int = 0
    to: Network | None = None
    version: int = 4


Entry = Address | Route | Fence | Aside | Rule


@dataclass(frozen=True, slots=True)
class Second:
    """What of a tunnel's own end is there a second time, for IPv6."""

    gateway: IP
    pods: Network
    all_pods: Network


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What is wanted of the node's own end. `key` is public, `mtu` in bytes; `rules` lead packets to the routing `table`."""

    name: str
    key: str
    port: int
    mtu: int
    gateway: IP
    pods: Network
    all_pods: Network
    table: int
    rules: tuple[Rule, ...] = ()
    six: Second | None = None

    @property
    def families(self) -> tuple[Second | Tunnel, ...]:
        """Where it has `gateway`, `pods` and `all_pods` of each family."""
        return (self,) if self.six is None else (self, self.six)


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there. `configuration` is None when there is no device, or one that is not our WireGuard's."""

    configuration: Configuration | None = None
    # A device of that name exists, ours or not.
    occupied: bool = False
    up: bool = False
    # It takes packets from any address: of two ways to a peer the kernel would believe one only.
    lenient: bool = False
    mtu: int = 0
    entries: frozenset[Entry] = frozenset()


@dataclass(frozen=True, slots=True)
class Remove:
    pass


@dataclass(frozen=True, slots=True)
class Make:
    pass


@dataclass(frozen=True, slots=True)
class Configure:
    """Give the device the private half of `key`, and its port."""

    key: str
    port: int


@dataclass(frozen=True, slots=True)
class Change:
    """Forget some peers, by key, and learn or correct others, at once."""

    forget: tuple[str, ...]
    learn: tuple[Remote, ...]


@dataclass(frozen=True, slots=True)
class Greet:
    """Begin new sessions with these peers: theirs ended with the key they were made with."""

    remotes: tuple[Remote, ...]


@dataclass(frozen=True, slots=True)
class Relax:
    """Let the device take packets whatever address they come from; WireGuard knows who may send under which."""


@dataclass(frozen=True, slots=True)
class Raise:
    mtu: int


@dataclass(frozen=True, slots=True)
class Put:
    entry: Entry


@dataclass(frozen=True, slots=True)
class Drop:
    entry: Entry


Step = Remove | Make | Configure | Change | Greet | Relax | Raise | Put | Drop


@dataclass(frozen=True, slots=True)
class Wanted:
    """Peers with keys; `complaints` say who is left out and why."""

    remotes: tuple[Remote, ...] = ()
    complaints: tuple[str, ...] = field(default=(), compare=False)


def wanted(peers: Iterable[Peer], own_key: str, port: int) -> Wanted:
    """Of the peers that have published a key. Two nodes cannot have one key: the first by name keeps it."""
    holders = {own_key: "this node"}
    remotes: dict[str, Remote] = {}
    complaints = []
    # A node is a peer once for each family it has pods of.
    for peer in sorted(peers, key=lambda peer: (peer.name, peer.pods.version)):
        if not peer.key:
            continue
        holder = holders.setdefault(peer.key, f"node {peer.name}")
        if holder != f"node {peer.name}":
            complaint = f"node {peer.name}: its WireGuard key is also that of {holder}"
            complaints += [complaint] if complaint not in complaints else []
            continue
        before = remotes[peer.key].allowed if peer.key in remotes else ()
        remotes[peer.key] = Remote(peer.key, (peer.address, port), (*before, peer.pods))
    return Wanted(tuple(remotes.values()), tuple(complaints))


def in_order(networks: Iterable[Network]) -> tuple[Network, ...]:
    """IPv4 first."""
    return tuple(sorted(networks, key=lambda each: (each.version, each.network_address.packed, each.prefixlen)))


def decide(tunnel: Tunnel, peers: Wanted, there: Observed, now: float) -> list[Step]:
    """The steps that give `peers` their way; a second call has nothing to do. Without peers there is only what stands.

    `now` is in seconds since the epoch.
    """
    standing = _standing(tunnel)
    steps: list[Step] = [Put(entry) for entry in standing if entry not in there.entries]
    if not peers.remotes:
        stale = _ordered(_lasting(there.entries) - frozenset(standing), routes_first=True)
        return [*steps, *([Remove()] if there.configuration is not None else []), *map(Drop, stale)]
    held, sessions = there.entries, {} if there.configuration is None else _sessions(there.configuration)
    if there.configuration is None:
        if there.occupied:
            steps.append(Remove())
        steps += [Make(), Configure(tunnel.key, tunnel.port)]
        held = _lasting(held)
    elif (there.configuration.key, there.configuration.port) != (tunnel.key, tunnel.port):
        steps.append(Configure(tunnel.key, tunnel.port))
    change = _change(peers.remotes, sessions, now)
    if change.forget or change.learn:
        steps.append(change)
    if there.configuration is None or not there.lenient:
        steps.append(Relax())
    up = there.up and there.configuration is not None
    # One that is raised greets all of them by itself.
    if up and there.configuration is not None and there.configuration.key != tunnel.key:
        staying = tuple(each for each in peers.remotes if each.key in sessions and each not in change.learn)
        steps += [Greet(staying)] if staying else []
    if not up or there.mtu != tunnel.mtu:
        steps.append(Raise(tunnel.mtu))
        # The kernel forgets routes of a device that is down, whatever it said of them before.
        if not up:
            held = frozenset(entry for entry in held if not isinstance(entry, Route))
    entries = frozenset(_entries(tunnel, peers.remotes))
    ours = held - frozenset(standing)
    steps += [Drop(entry) for entry in _ordered(ours - entries, routes_first=True)]
    steps += [Put(entry) for entry in _ordered(entries - ours, routes_first=False)]
    return steps


def dismantle(there: Observed) -> list[Step]:
    """The steps that leave nothing of it."""
    lasting = sorted(_lasting(there.entries), key=lambda entry: (not isinstance(entry, Rule), str(entry)))
    return [*([Remove()] if there.occupied else []), *map(Drop, lasting)]


def silent(peers: Wanted, there: Observed, now: float) -> frozenset[str]:
    """Keys of peers that no session leads to at present."""
    sessions = {} if there.configuration is None else _sessions(there.configuration)
    return frozenset(
        remote.key
        for remote in peers.remotes
        if remote.key not in sessions or now - sessions[remote.key].handshake > _SESSION_SECONDS
    )


def _standing(tunnel: Tunnel) -> list[Entry]:
    """What holds without any peer. Whatever is led here finds its way past, or the fence."""
    table = tunnel.table
    ends = [end for each in tunnel.families for end in (Aside(each.pods, table), Fence(each.all_pods, table))]
    return [*ends, *tunnel.rules]


def _lasting(entries: frozenset[Entry]) -> frozenset[Entry]:
    """Those that do not go with the device."""
    return frozenset(entry for entry in entries if not isinstance(entry, Address | Route))


def _sessions(configuration: Configuration) -> dict[str, Session]:
    return {session.remote.key: session for session in configuration.sessions}


def _change(remotes: Iterable[Remote], sessions: dict[str, Session], now: float) -> Change:
    keys = {remote.key for remote in remotes}
    learn = tuple(remote for remote in remotes if not _right(remote, sessions.get(remote.key), now))
    return Change(tuple(sorted(sessions.keys() - keys)), learn)


def _right(remote: Remote, session: Session | None, now: float) -> bool:
    """Whether a peer is as it should be. It may be reached elsewhere than its document says, if it answers from there."""
    if session is None:
        return False
    held = session.remote
    if (held.allowed, held.keepalive) != (remote.allowed, remote.keepalive):
        return False
    return held.endpoint == remote.endpoint or now - session.handshake <= _SESSION_SECONDS


def _entries(tunnel: Tunnel, remotes: Sequence[Remote]) -> Iterable[Entry]:
    gateways = {each.pods.version: each.gateway for each in tunnel.families}
    yield from map(Address, gateways.values())
    for network in (network for remote in remotes for network in remote.allowed):
        yield Route(network, gateways[network.version], tunnel.table)
        # The end of VXLAN's tunnel is in there: answers that go back the way they came are sent to it.
        yield Aside(ip_network(network.network_address), tunnel.table)


def _ordered(entries: Iterable[Entry], *, routes_first: bool) -> list[Entry]:
    """Routes, and rules that lead to them, come last when made and go first when taken."""
    return sorted(entries, key=lambda entry: (isinstance(entry, Route | Rule) is not routes_first, str(entry)))
