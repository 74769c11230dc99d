"""What the machine itself has of IPv6 (proc(5), net/if_inet6)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from pyroute2 import IPRoute


def without_ipv6(proc: Path = Path("/proc")) -> str:
    """Why this machine cannot be part of a dual-stack cluster; empty if it can."""
    if not (proc / "net/if_inet6").exists():
        return "the kernel has no IPv6"
    for name in ("all", "default"):
        try:
            if (proc / f"sys/net/ipv6/conf/{name}/disable_ipv6").read_text().strip() != "0":
                return f"IPv6 is switched off (sysctl net.ipv6.conf.{name}.disable_ipv6)"
        except OSError:
            return "the kernel does not say whether it has IPv6"
    return ""


def second_address(address: str, proc: Path = Path("/proc")) -> str:
    """An IPv6 address by which others may reach the machine, on the device that has its IPv4 `address`; empty for none.

    Not one of the link alone, nor one that is to go: temporary (RFC 8981), deprecated, or not yet known to be free.
    """
    device = _device_of(IPv4Address(address))
    unfit = 0x01 | 0x08 | 0x20 | 0x40  # linux/if_addr.h: temporary, failed, deprecated, tentative
    try:
        lines = (proc / "net/if_inet6").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        digits, _, _, scope, flags, name = line.split()
        if name == device and scope == "00" and not int(flags, 16) & unfit:
            return str(IPv6Address(int(digits, 16)))
    return ""


def _device_of(address: IPv4Address) -> str:
    """Blocking, and not for use within an event loop."""
    with IPRoute() as netlink:
        for item in netlink.get_addr(family=2):
            if dict(item["attrs"]).get("IFA_LOCAL") == str(address):
                links = netlink.get_links(item["index"])
                return str(dict(links[0]["attrs"])["IFLA_IFNAME"])
    return ""
