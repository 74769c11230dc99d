"""The edge to the kernel: look at the device and its routes, and take steps. Blocking; call it in a thread.

Sessions are the engine's, everything else is rtnetlink's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from motet.network.bridge import NetworkError
from motet.network.overlay.kernel import is_lenient, relax
from motet.network.wireguard.decide import (
    Address,
    Aside,
    Change,
    Configure,
    Drop,
    Entry,
    Fence,
    Greet,
    Make,
    Observed,
    Put,
    Raise,
    Relax,
    Remove,
    Route,
    Rule,
    Step,
    Tunnel,
)
from motet.network.wireguard.engine import Engine
from motet.network.wireguard.keys import Pair

_INET = 2
_UP = 1
_BLACKHOLE, _THROW = 6, 9
_STATIC = 4
# Of our rules: after the one for the machine's own addresses.
RANKS = (4241, 4242)
# Of the fence, so that everything else comes first.
_LAST = 0xFFFFFF
_EXISTS = 17
_NO_SUCH = (2, 3, 19, 99)  # ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL


def observe(tunnel: Tunnel, engine: Engine) -> Observed:
    """What is there now. Raises NetworkError."""
    configuration = engine.look()
    try:
        with IPRoute() as netlink:
            index = _index(netlink, tunnel.name)
            standing: frozenset[Entry] = frozenset((*_stops(netlink, tunnel.table), *_rules(netlink)))
            if not index:
                return Observed(entries=standing)
            link = netlink.get_links(index)[0]
            return Observed(
                configuration=configuration,
                occupied=True,
                up=bool(link["flags"] & _UP),
                lenient=is_lenient(tunnel.name),
                mtu=link.get_attr("IFLA_MTU"),
                entries=frozenset((*_addresses(netlink, index), *_routes(netlink, index, tunnel.table), *standing)),
            )
    except FileNotFoundError:  # gone in between
        return Observed()
    except NetlinkError as error:
        if error.code == 19:  # gone in between
            return Observed()
        raise NetworkError(f"{tunnel.name}: {error}") from error


def apply(tunnel: Tunnel, engine: Engine, pairs: Mapping[str, Pair], steps: Sequence[Step]) -> None:
    """Take the steps in order; `pairs` are the node's own keys by their public half.

    Raises NetworkError at the first that is refused.
    """
    for step in steps:
        try:
            _take(tunnel, engine, pairs, step)
        except NetlinkError as error:
            if (isinstance(step, Drop) and error.code in _NO_SUCH) or (isinstance(step, Put) and error.code == _EXISTS):
                continue
            raise NetworkError(f"{tunnel.name}: {step}: {error}") from error


def remove_standing(table: int) -> None:
    """Take away what stands without a device. Nothing happens when it is not there."""
    with IPRoute() as netlink:
        for entry in (*_rules(netlink), *_stops(netlink, table)):
            _entry(netlink, "", entry, put=False)


def _take(tunnel: Tunnel, engine: Engine, pairs: Mapping[str, Pair], step: Step) -> None:
    match step:
        case Remove():
            engine.remove()
        case Make():
            engine.make()
        case Relax():
            relax(tunnel.name)
        case Configure(key, port):
            engine.configure(pairs[key], port)
        case Change(forget, learn):
            engine.change(forget, learn)
        case Greet(remotes):
            engine.greet(remotes)
        case Raise(mtu):
            with IPRoute() as netlink:
                netlink.link("set", index=_index(netlink, tunnel.name), mtu=mtu, state="up")
        case Put(entry):
            with IPRoute() as netlink:
                _entry(netlink, tunnel.name, entry, put=True)
        case Drop(entry):
            with IPRoute() as netlink:
                _entry(netlink, tunnel.name, entry, put=False)


def _entry(netlink: IPRoute, name: str, entry: Entry, *, put: bool) -> None:
    match entry:
        case Address(address):
            verb = "replace" if put else "del"
            netlink.addr(verb, index=_index(netlink, name), address=str(address), prefixlen=32)
        case Route(to, source, table):
            index = _index(netlink, name)
            more = {"prefsrc": str(source), "proto": _STATIC} if put else {}
            verb = "replace" if put else "del"
            netlink.route(verb, dst=str(to), oif=index, scope="link", table=table, **more)
        case Fence(pods, table):
            verb = "replace" if put else "del"
            netlink.route(verb, dst=str(pods), type="blackhole", priority=_LAST, table=table, proto=_STATIC)
        case Aside(to, table):
            verb = "replace" if put else "del"
            netlink.route(verb, dst=str(to), type="throw", table=table, proto=_STATIC)
        case Rule(rank, table, mark, to):
            verb = "add" if put else "del"
            marked = {"fwmark": mark, "fwmask": mark} if mark else {}
            narrow = {"dst": str(to)} if to else {}
            netlink.rule(verb, priority=rank, table=table, **marked, **narrow)


def _index(netlink: IPRoute, name: str) -> int:
    found = netlink.link_lookup(ifname=name)
    return int(found[0]) if found else 0


def _addresses(netlink: IPRoute, index: int) -> Iterator[Entry]:
    for item in netlink.get_addr(family=_INET, index=index):
        if item["index"] == index and item["prefixlen"] == 32:
            yield Address(IPv4Address(dict(item["attrs"])["IFA_LOCAL"]))


def _routes(netlink: IPRoute, index: int, table: int) -> Iterator[Entry]:
    for item in netlink.get_routes(family=_INET, table=table, oif=index):
        found = dict(item["attrs"])
        if found.get("RTA_OIF") != index or "RTA_DST" not in found or "RTA_GATEWAY" in found:
            continue
        network = IPv4Network(f"{found['RTA_DST']}/{item['dst_len']}")
        yield Route(network, IPv4Address(found.get("RTA_PREFSRC", "0.0.0.0")), table)


def _stops(netlink: IPRoute, table: int) -> Iterator[Fence | Aside]:
    for item in netlink.get_routes(family=_INET, table=table):
        found = dict(item["attrs"])
        if "RTA_DST" not in found:
            continue
        to = IPv4Network(f"{found['RTA_DST']}/{item['dst_len']}")
        if item["type"] == _BLACKHOLE and found.get("RTA_PRIORITY") == _LAST:
            yield Fence(to, table)
        elif item["type"] == _THROW:
            yield Aside(to, table)


def _rules(netlink: IPRoute) -> Iterator[Rule]:
    """Those of our ranks."""
    for item in netlink.get_rules(family=_INET):
        found = dict(item["attrs"])
        rank, mark = found.get("FRA_PRIORITY"), found.get("FRA_FWMARK", 0)
        if rank in RANKS and (not mark or found.get("FRA_FWMASK") == mark):
            to = IPv4Network(f"{found['FRA_DST']}/{item['dst_len']}") if "FRA_DST" in found else None
            yield Rule(rank, found["FRA_TABLE"], mark, to)
