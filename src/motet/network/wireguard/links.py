"""Network devices by name: of which kind, made, taken away. Blocking."""

from __future__ import annotations

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from motet.network.bridge import NetworkError


def kind(name: str) -> str:
    """`tun`, `wireguard`, ...; `other` for hardware, empty when there is no such device. Raises NetworkError."""
    try:
        with IPRoute() as netlink:
            found = netlink.link_lookup(ifname=name)
            if not found:
                return ""
            info = netlink.get_links(found[0])[0].get_attr("IFLA_LINKINFO")
            return str(info.get_attr("IFLA_INFO_KIND")) if info is not None else "other"
    except NetlinkError as error:
        if error.code == 19:  # gone in between
            return ""
        raise NetworkError(f"{name}: {error}") from error


def make(name: str, kind: str) -> None:
    """Raises NetworkError."""
    try:
        with IPRoute() as netlink:
            netlink.link("add", ifname=name, kind=kind)
    except NetlinkError as error:
        raise NetworkError(f"{name}: {error}") from error


def remove(name: str) -> None:
    """Nothing happens when it is not there. Raises NetworkError."""
    try:
        with IPRoute() as netlink:
            for index in netlink.link_lookup(ifname=name):
                netlink.link("del", index=index)
    except NetlinkError as error:
        if error.code != 19:
            raise NetworkError(f"{name}: {error}") from error
