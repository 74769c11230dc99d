"""The overlay's edge to the kernel: look, and take steps. Blocking; call it in a thread, never in the event loop's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

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

_INET, _BRIDGE = 2, 7
_MAIN_TABLE = 254
_ONLINK = 4
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
                        *_addresses(netlink, index),
                        *_routes(netlink, index),
                        *_neighbours(netlink, index),
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
            netlink.addr("replace" if put else "del", index=index, address=str(address), prefixlen=32)
        case Route(to, via, source):
            if put:
                netlink.route(
                    "replace",
                    dst=str(to),
                    gateway=str(via),
                    oif=index,
                    prefsrc=str(source),
                    flags=_ONLINK,
                    proto=_STATIC,
                )
            else:
                netlink.route("del", dst=str(to), gateway=str(via), oif=index)
        case Neighbour(address, mac):
            verb = "replace" if put else "del"
            netlink.neigh(verb, dst=str(address), lladdr=mac, ifindex=index, state="permanent")
        case Forward(mac, node):
            netlink.fdb("append" if put else "del", ifindex=index, lladdr=mac, dst=str(node))


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


def _addresses(netlink: IPRoute, index: int) -> Iterator[Entry]:
    for item in netlink.get_addr(family=_INET, index=index):
        if item["index"] == index and item["prefixlen"] == 32:
            yield Address(IPv4Address(dict(item["attrs"])["IFA_LOCAL"]))


def _routes(netlink: IPRoute, index: int) -> Iterator[Entry]:
    for item in netlink.get_routes(family=_INET, table=_MAIN_TABLE, oif=index):
        found = dict(item["attrs"])
        if found.get("RTA_OIF") != index or "RTA_DST" not in found or "RTA_GATEWAY" not in found:
            continue
        yield Route(
            IPv4Network(f"{found['RTA_DST']}/{item['dst_len']}"),
            IPv4Address(found["RTA_GATEWAY"]),
            IPv4Address(found.get("RTA_PREFSRC", "0.0.0.0")),
        )


def _neighbours(netlink: IPRoute, index: int) -> Iterator[Entry]:
    for item in netlink.get_neighbours(family=_INET, ifindex=index):
        found = dict(item["attrs"])
        # Only what somebody put there for good; the kernel's own guesses go by themselves.
        if item["ifindex"] == index and item["state"] & 0x80 and "NDA_LLADDR" in found:
            yield Neighbour(IPv4Address(found["NDA_DST"]), found["NDA_LLADDR"])


def _forwards(netlink: IPRoute, index: int) -> Iterator[Entry]:
    items: Iterable[Any] = netlink.fdb("dump")
    for item in items:
        found = dict(item["attrs"])
        if item["ifindex"] == index and "NDA_DST" in found and "NDA_LLADDR" in found:
            yield Forward(found["NDA_LLADDR"], IPv4Address(found["NDA_DST"]))
