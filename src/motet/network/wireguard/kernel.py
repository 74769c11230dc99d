"""The edge to the kernel: look at the device and its routes, and take steps. Blocking; call it in a thread.

Sessions are the engine's, everything else is rtnetlink's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from motet.base.ip import parse_address, parse_network
from motet.network.bridge import NetworkError
from motet.network.overlay.kernel import host_addresses, is_lenient, relax
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

_INET, _INET6 = 2, 10
# linux/if_addr.h
_NO_DAD = 0x02
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
    families = (_INET,) if tunnel.six is None else (_INET, _INET6)
    try:
        with IPRoute() as netlink:
            index = _index(netlink, tunnel.name)
            standing: frozenset[Entry] = frozenset(_lasting(netlink, tunnel.table, families))
            if not index:
                return Observed(entries=standing)
            link = netlink.get_links(index)[0]
            return Observed(
                configuration=configuration,
                occupied=True,
                up=bool(link["flags"] & _UP),
                lenient=is_lenient(tunnel.name),
                mtu=link.get_attr("IFLA_MTU"),
                entries=standing.union(
                    *(map(Address, host_addresses(netlink, index, each)) for each in families),
                    *(_routes(netlink, index, tunnel.table, each) for each in families),
                ),
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
        for entry in list(_lasting(netlink, table, (_INET, _INET6))):
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
    verb = "replace" if put else "del"
    match entry:
        case Address(address):
            family, prefix = _family(address.version), address.max_prefixlen
            told = {"flags": _NO_DAD} if put and family == _INET6 else {}
            index = _index(netlink, name)
            netlink.addr(verb, index=index, address=str(address), prefixlen=prefix, family=family, **told)
        case Route(to, source, table):
            index, family = _index(netlink, name), _family(to.version)
            more = {"prefsrc": str(source), "proto": _STATIC} if put else {}
            narrow = {"scope": "link"} if family == _INET else {}
            netlink.route(verb, family=family, dst=str(to), oif=index, table=table, **narrow, **more)
        case Fence(pods, table):
            told = {"family": _family(pods.version), "priority": _LAST, "table": table, "proto": _STATIC}
            netlink.route(verb, dst=str(pods), type="blackhole", **told)
        case Aside(to, table):
            told = {"family": _family(to.version), "table": table, "proto": _STATIC}
            netlink.route(verb, dst=str(to), type="throw", **told)
        case Rule(rank, table, mark, to, version):
            marked = {"fwmark": mark, "fwmask": mark} if mark else {}
            aim = {"dst": str(to)} if to else {}
            verb = "add" if put else "del"
            netlink.rule(verb, family=_family(version), priority=rank, table=table, **marked, **aim)


def _family(version: int) -> int:
    return _INET if version == 4 else _INET6


def _index(netlink: IPRoute, name: str) -> int:
    found = netlink.link_lookup(ifname=name)
    return int(found[0]) if found else 0


def _lasting(netlink: IPRoute, table: int, families: Sequence[int]) -> Iterator[Entry]:
    for family in families:
        yield from _rules(netlink, family)
        yield from _stops(netlink, table, family)


def _routes(netlink: IPRoute, index: int, table: int, family: int) -> Iterator[Entry]:
    for item in netlink.get_routes(family=family, table=table, oif=index):
        found = dict(item["attrs"])
        if found.get("RTA_OIF") != index or "RTA_DST" not in found or "RTA_GATEWAY" in found:
            continue
        network = parse_network(f"{found['RTA_DST']}/{item['dst_len']}")
        nothing = "0.0.0.0" if family == _INET else "::"
        yield Route(network, parse_address(found.get("RTA_PREFSRC", nothing)), table)


def _stops(netlink: IPRoute, table: int, family: int) -> Iterator[Fence | Aside]:
    for item in netlink.get_routes(family=family, table=table):
        found = dict(item["attrs"])
        if "RTA_DST" not in found:
            continue
        to = parse_network(f"{found['RTA_DST']}/{item['dst_len']}")
        if item["type"] == _BLACKHOLE and found.get("RTA_PRIORITY") == _LAST:
            yield Fence(to, table)
        elif item["type"] == _THROW:
            yield Aside(to, table)


def _rules(netlink: IPRoute, family: int) -> Iterator[Rule]:
    """Those of our ranks."""
    for item in netlink.get_rules(family=family):
        found = dict(item["attrs"])
        rank, mark = found.get("FRA_PRIORITY"), found.get("FRA_FWMARK", 0)
        if rank in RANKS and (not mark or found.get("FRA_FWMASK") == mark):
            to = parse_network(f"{found['FRA_DST']}/{item['dst_len']}") if "FRA_DST" in found else None
            yield Rule(rank, found["FRA_TABLE"], mark, to, 4 if family == _INET else 6)
