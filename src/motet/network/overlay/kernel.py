"""The overlay's edge to the kernel: look, and take steps. Blocking; call it in a thread, never in the event loop's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from motet.base.ip import Address as IP
from motet.base.ip import Network, parse_address, parse_network
from motet.network.bridge import NetworkError
from motet.network.overlay.decide import (
    Address,
    Device,
    Drop,
    Entry,
    Forward,
    Kernel,
    Make,
    Neighbour,
    Put,
    Raise,
    Relax,
    Remove,
    Route,
    Step,
)

_INET, _INET6, _BRIDGE = 2, 10, 7
_MAIN_TABLE = 254
_ONLINK = 4
# linux/if_addr.h
_NO_DAD = 0x02
_STATIC = 4
_NO_SUCH = (2, 3, 19, 99)  # ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL
_USUAL_MTU, _LARGEST_MTU = 1500, 9000


def observe(name: str) -> Kernel:
    """What is on the device called `name` now. Raises NetworkError."""
    try:
        with IPRoute() as netlink:
            index = _index(netlink, name)
            if not index:
                return Kernel()
            link = netlink.get_links(index)[0]
            return Kernel(
                device=_device(name, link),
                up=link["state"] == "up",
                occupied=True,
                lenient=is_lenient(name),
                entries=frozenset(
                    (
                        *(
                            entry
                            for family in (_INET, _INET6)
                            for entry in map(Address, host_addresses(netlink, index, family))
                        ),
                        *(entry for family in (_INET, _INET6) for entry in _routes(netlink, index, family)),
                        *(entry for family in (_INET, _INET6) for entry in _neighbours(netlink, index, family)),
                        *_forwards(netlink, index),
                    )
                ),
            )
    except NetlinkError as error:
        raise NetworkError(f"overlay {name}: {error}") from error


def apply(name: str, steps: Sequence[Step]) -> None:
    """Take the steps in order. Raises NetworkError at the first that the kernel refuses."""
    with IPRoute() as netlink:
        for step in steps:
            try:
                _take(netlink, name, step)
            except NetlinkError as error:
                if isinstance(step, Drop | Remove) and error.code in _NO_SUCH:
                    continue
                raise NetworkError(f"overlay {name}: {step}: {error}") from error


def remove(name: str) -> None:
    """Take the device away, and all that hangs on it."""
    with IPRoute() as netlink:
        if index := _index(netlink, name):
            netlink.link("del", index=index)


def mtu_below(address: IPv4Address | None) -> int:
    """Bytes that the network below a tunnel carries at once, when the tunnel's packets leave from `address`.

    An address that no interface has, or None, takes the way of the default route.
    """
    with IPRoute() as netlink:
        index = 0
        for item in netlink.get_addr(family=_INET):
            if dict(item["attrs"]).get("IFA_LOCAL") == str(address):
                index = item["index"]
        for entry in netlink.get_default_routes(family=_INET):
            index = index or dict(entry["attrs"]).get("RTA_OIF", 0)
        mtu = int(dict(netlink.get_links(index)[0]["attrs"])["IFLA_MTU"]) if index else _USUAL_MTU
    # Loopback's 65536 would be more than any network carries.
    return min(mtu, _LARGEST_MTU)


def _take(netlink: IPRoute, name: str, step: Step) -> None:
    match step:
        case Make(device):
            netlink.link(
                "add",
                ifname=device.name,
                kind="vxlan",
                vxlan_id=device.vni,
                vxlan_port=device.port,
                vxlan_local=str(device.local),
                vxlan_learning=0,
                address=device.mac,
                mtu=device.mtu,
            )
        case Remove():
            netlink.link("del", index=_index(netlink, name))
        case Relax():
            relax(name)
        case Raise(_, mtu):
            netlink.link("set", index=_index(netlink, name), mtu=mtu, state="up")
        case Put(entry):
            _entry(netlink, _index(netlink, name), entry, put=True)
        case Drop(entry):
            _entry(netlink, _index(netlink, name), entry, put=False)


def is_lenient(name: str) -> bool:
    """Whether a device takes packets whatever address they come from. Raises OSError when it is gone."""
    return all(_setting(name, key).read_text().strip() == value for key, value in _lenient().items())


def relax(name: str) -> None:
    """Make it so. Raises OSError when the device is gone."""
    for key, value in _lenient().items():
        _setting(name, key).write_text(value)


def _lenient() -> dict[str, str]:
    """What lets the device take connections of clients that came to another node, be they this node's own.

    The node's own connections to a published port come from 127.0.0.1 until they are translated. The kernel takes the stricter
    of a device's and everybody's `rp_filter`, where 2 is less strict than 1.
    """
    everybody = _setting("all", "rp_filter").read_text().strip()
    return {"route_localnet": "1", "accept_local": "1", "rp_filter": "2" if everybody == "1" else "0"}


def _setting(name: str, key: str) -> Path:
    return Path("/proc/sys/net/ipv4/conf", name, key)


def _entry(netlink: IPRoute, index: int, entry: Entry, *, put: bool) -> None:
    match entry:
        case Address(address):
            told = {"flags": _NO_DAD} if put and address.version == 6 else {}
            verb = "replace" if put else "del"
            netlink.addr(
                verb,
                index=index,
                address=str(address),
                prefixlen=address.max_prefixlen,
                family=_family(address),
                **told,
            )
        case Route(to, via, source):
            way: dict[str, Any] = {"family": _family(to), "dst": str(to), "gateway": str(via), "oif": index}
            if put:
                netlink.route("replace", prefsrc=str(source), flags=_ONLINK, proto=_STATIC, **way)
            else:
                netlink.route("del", **way)
        case Neighbour(address, mac):
            verb = "replace" if put else "del"
            netlink.neigh(verb, family=_family(address), dst=str(address), lladdr=mac, ifindex=index, state="permanent")
        case Forward(mac, node):
            netlink.fdb("append" if put else "del", ifindex=index, lladdr=mac, dst=str(node))


def _family(some: IP | Network) -> int:
    return _INET if some.version == 4 else _INET6


def _index(netlink: IPRoute, name: str) -> int:
    found = netlink.link_lookup(ifname=name)
    return int(found[0]) if found else 0


def _device(name: str, link: Any) -> Device | None:
    """The device as one of ours; None when it is of another kind."""
    info = link.get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") != "vxlan":
        return None
    data = info.get_attr("IFLA_INFO_DATA")
    local = data.get_attr("IFLA_VXLAN_LOCAL")
    if local is None or data.get_attr("IFLA_VXLAN_LEARNING"):
        return None
    port = data.get_attr("IFLA_VXLAN_PORT")
    return Device(
        name=name,
        vni=data.get_attr("IFLA_VXLAN_ID"),
        port=int(port),
        local=IPv4Address(local),
        mac=link.get_attr("IFLA_ADDRESS"),
        mtu=link.get_attr("IFLA_MTU"),
    )


def host_addresses(netlink: IPRoute, index: int, family: int) -> Iterator[IP]:
    """The addresses of a device that stand for it alone: /32 and /128."""
    for item in netlink.get_addr(family=family, index=index):
        found = dict(item["attrs"])
        address = parse_address(found.get("IFA_LOCAL") or found["IFA_ADDRESS"])
        if item["index"] == index and item["prefixlen"] == address.max_prefixlen:
            yield address


def _routes(netlink: IPRoute, index: int, family: int) -> Iterator[Entry]:
    for item in netlink.get_routes(family=family, table=_MAIN_TABLE, oif=index):
        found = dict(item["attrs"])
        if found.get("RTA_OIF") != index or "RTA_DST" not in found or "RTA_GATEWAY" not in found:
            continue
        yield Route(
            parse_network(f"{found['RTA_DST']}/{item['dst_len']}"),
            parse_address(found["RTA_GATEWAY"]),
            parse_address(found.get("RTA_PREFSRC", "0.0.0.0" if family == _INET else "::")),
        )


def _neighbours(netlink: IPRoute, index: int, family: int) -> Iterator[Entry]:
    for item in netlink.get_neighbours(family=family, ifindex=index):
        found = dict(item["attrs"])
        # Only what somebody put there for good; the kernel's own guesses go by themselves.
        if item["ifindex"] == index and item["state"] & 0x80 and "NDA_LLADDR" in found:
            yield Neighbour(parse_address(found["NDA_DST"]), found["NDA_LLADDR"])


def _forwards(netlink: IPRoute, index: int) -> Iterator[Entry]:
    items: Iterable[Any] = netlink.fdb("dump")
    for item in items:
        found = dict(item["attrs"])
        if item["ifindex"] == index and "NDA_DST" in found and "NDA_LLADDR" in found:
            yield Forward(found["NDA_LLADDR"], IPv4Address(found["NDA_DST"]))
