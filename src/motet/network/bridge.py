"""The node's bridge: made before the first pod, with the gateway's and the name server's address on it."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from motet.base.errors import MotetError
from motet.base.ip import Address
from motet.network.config import NetworkConfig

_log = logging.getLogger(__name__)

_FALLBACK_MTU = 1500
_INET, _INET6 = 2, 10
# linux/if_addr.h: use the address at once, without asking whether anybody has it.
_NO_DAD = 0x02
# Not there in a kernel without IPv6.
_IPV6_BRIDGED = "net/bridge/bridge-nf-call-ip6tables"


class NetworkError(MotetError):
    """The kernel refused part of the node's network."""


def ensure(config: NetworkConfig) -> int:
    """Make the bridge, its addresses and the route to services, or repair them; returns the MTU pods use.

    Raises NetworkError.
    """
    try:
        with IPRoute() as route:
            mtu = config.mtu or _outward_mtu(route)
            index = _bridge(route, config.bridge, mtu, _hardware_address(config))
            if config.six is not None:
                # Before there are addresses: a device on which somebody has switched IPv6 off takes none.
                _set(_sysctls_of_ipv6(config.bridge))
            for each in config.families():
                _address(route, index, each.gateway, each.pods.prefixlen)
                if each.dns_address is not None:
                    _address(route, index, each.dns_address, each.dns_address.max_prefixlen)
                _services(route, index, each)
    except NetlinkError as error:
        raise NetworkError(f"bridge {config.bridge}: {error}") from error
    _set(_sysctls(config.bridge))
    if config.six is not None:
        _forward_ipv6()
    return mtu


def repair(config: NetworkConfig, known: frozenset[str]) -> frozenset[str]:
    """`ensure`, and bring the `known` ports back to a bridge that had to be made anew; returns its ports now.

    Raises NetworkError.
    """
    try:
        with IPRoute() as route:
            there = bool(route.link_lookup(ifname=config.bridge))
            ensure(config)
            (index,) = route.link_lookup(ifname=config.bridge)
            if not there:
                _log.warning("bridge %s was gone; it is back, with %d ports", config.bridge, len(known))
                for port in (port for name in known for port in route.link_lookup(ifname=name)):
                    route.link("set", index=port, master=index, state="up")
                    route.brport("set", index=port, mode=1)  # hairpin
            links = route.get_links(master=index)
            return frozenset(str(dict(link["attrs"])["IFLA_IFNAME"]) for link in links)
    except NetlinkError as error:
        raise NetworkError(f"bridge {config.bridge}: {error}") from error


def remove(config: NetworkConfig) -> None:
    """Take the bridge away, and its addresses and routes with it."""
    with IPRoute() as route:
        for index in route.link_lookup(ifname=config.bridge):
            route.link("del", index=index)


def _bridge(route: IPRoute, name: str, mtu: int, hardware_address: str) -> int:
    found = route.link_lookup(ifname=name)
    if not found:
        route.link("add", ifname=name, kind="bridge", mtu=mtu, address=hardware_address)
        found = route.link_lookup(ifname=name)
    index: int = found[0]
    route.link("set", index=index, address=hardware_address, state="up")
    return index


def _hardware_address(config: NetworkConfig) -> str:
    """Made of the gateway's address: a bridge without one of its own takes another whenever a pod comes or goes."""
    return ":".join(f"{byte:02x}" for byte in b"\x0a\x58" + config.gateway.packed)


def _address(route: IPRoute, index: int, address: Address, prefix: int) -> None:
    family = _INET if address.version == 4 else _INET6
    held = {
        (dict(item["attrs"]).get("IFA_ADDRESS"), item["prefixlen"])
        for item in route.get_addr(index=index, family=family)
    }
    if (str(address), prefix) not in held:
        # Nobody else can have it, and a bridge without ports would never finish asking (RFC 4862, 5.4).
        told = {"flags": _NO_DAD} if family == _INET6 else {}
        route.addr("add", index=index, address=str(address), prefixlen=prefix, family=family, **told)


def _services(route: IPRoute, index: int, config: NetworkConfig) -> None:
    """Services' addresses lead to the bridge, where they never arrive: rules translate them before that."""
    if config.version == 4:
        route.route("replace", dst=str(config.services), oif=index, prefsrc=str(config.gateway), scope="link")
    else:
        route.route("replace", family=_INET6, dst=str(config.services), oif=index, prefsrc=str(config.gateway))


def _outward_mtu(route: IPRoute) -> int:
    """Of the interface that the default route leaves by."""
    for entry in route.get_default_routes(family=2):
        index = dict(entry["attrs"]).get("RTA_OIF")
        if index is not None:
            return int(dict(route.get_links(index)[0]["attrs"])["IFLA_MTU"])
    return _FALLBACK_MTU


def _sysctls(bridge: str) -> dict[str, str]:
    """What the kernel has to do differently on a node.

    Forward; show bridged packets to nftables, without which a service's backend on the same bridge is unreachable (and pods
    would pass by all policies, by the IPv6 addresses that interfaces give themselves); let
    connections from loopback leave for pods (the proxy's rules keep pods from using that the other way); tell no pod of
    shorter ways, of which services have none, and which use up the allowance of ICMP errors that refusals need.
    """
    if not Path("/proc/sys/net/bridge").exists():
        subprocess.run(["modprobe", "br_netfilter"], check=False, capture_output=True)
    return {
        "net/ipv4/ip_forward": "1",
        "net/bridge/bridge-nf-call-iptables": "1",
        **({_IPV6_BRIDGED: "1"} if Path("/proc/sys", _IPV6_BRIDGED).exists() else {}),
        f"net/ipv4/conf/{bridge}/route_localnet": "1",
        f"net/ipv4/conf/{bridge}/send_redirects": "0",
        "net/ipv4/conf/all/send_redirects": "0",
    }


def _sysctls_of_ipv6(bridge: str) -> dict[str, str]:
    """IPv6 on the bridge, whose pods tell the node no routes. Its address is used as soon as it has a port: as long as it asks
    whether anybody else has that, it does not ask for the neighbours it is to forward to."""
    settings = {"disable_ipv6": "0", "accept_ra": "0", "accept_dad": "0"}
    return {f"net/ipv6/conf/{bridge}/{name}": value for name, value in settings.items()}


def _forward_ipv6() -> None:
    """The kernel takes one that forwards for a router, which needs nobody to tell it routes. Where it has been told some, it
    is to go on listening (2), or the machine would lose its way out.
    """
    _set({_IPV6_BRIDGED: "1"})
    conf = Path("/proc/sys/net/ipv6/conf")
    if _read(conf / "all/forwarding") == "1":
        return
    for device in sorted(conf.iterdir()):
        if device.name not in ("all", "default") and _read(device / "accept_ra") == "1":
            _set({f"net/ipv6/conf/{device.name}/accept_ra": "2"})
    _set({"net/ipv6/conf/all/forwarding": "1"})


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # a device that went meanwhile
        return ""


def _set(wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        path = Path("/proc/sys") / name
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            raise NetworkError(f"sysctl {name.replace('/', '.')} cannot be set to {value}: {error.strerror}") from error
