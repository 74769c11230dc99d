"""Addresses and networks of either family, and what Kubernetes and nftables call the families."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

IPV4: Final = "IPv4"
IPV6: Final = "IPv6"


def family_of(some: Address | Network) -> str:
    """`IPv4` or `IPv6`, as Services and slices have it."""
    return IPV4 if some.version == 4 else IPV6


def family_of_text(text: str) -> str:
    """The same of an address or a network that is known to be one."""
    return IPV6 if ":" in text else IPV4


def parse_address(text: str) -> Address:
    """Raises ValueError."""
    return ip_address(text)


def parse_network(text: str) -> Network:
    """Raises ValueError, also for one with host bits."""
    return ip_network(text)


def pair(text: str) -> tuple[IPv4Network, IPv6Network | None]:
    """`10.42.0.0/16` or `10.42.0.0/16,fd00:42::/56`. Raises ValueError."""
    networks = [parse_network(each.strip()) for each in text.split(",")]
    first, second = networks[0], networks[1] if len(networks) > 1 else None
    if (
        not isinstance(first, IPv4Network)
        or len(networks) > 2
        or not (second is None or isinstance(second, IPv6Network))
    ):
        raise ValueError(f"{text!r} is not one range of IPv4, or one of IPv4 and one of IPv6")
    return first, second


def within(inner: Network, outer: Network) -> bool:
    """Whether all of `inner` is in `outer`; never so between families."""
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network):
        return inner.subnet_of(outer)
    return False


def overlap(one: Network, other: Network) -> bool:
    """Whether they share an address; never so between families."""
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    if isinstance(one, IPv6Network) and isinstance(other, IPv6Network):
        return one.overlaps(other)
    return False
