"""The address ranges of a cluster: chosen when it begins, the same on all of its machines."""

from __future__ import annotations

import secrets
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from motet.base.errors import MotetError
from motet.base.ip import overlap, pair

# As few addresses as a cluster can use, and as many as it can keep account of.
_PODS_SIX = range(48, 64)
_SERVICES_SIX = range(108, 125)
_PODS_FOUR = range(8, 24)
_SERVICES_FOUR = range(12, 28)


class Ranges(NamedTuple):
    """Texts as `Settings` has them; those of IPv6 are empty in a cluster of one family."""

    pods: str
    services: str
    dns_address: str
    pods_six: str = ""
    services_six: str = ""


def chosen(pods: str, services: str, *, dual_stack: bool) -> Ranges:
    """From what was asked for: `10.42.0.0/16` or `10.42.0.0/16,fd00:42::/56`, of both or of neither; empty for what is usual.

    With `dual_stack`, ranges of IPv6 that were not named are made up (RFC 4193). Raises MotetError.
    """
    pods_four, pods_six = _pair(pods or "10.42.0.0/16", "--pod-cidr", _PODS_FOUR, _PODS_SIX)
    services_four, services_six = _pair(services or "10.43.0.0/16", "--service-cidr", _SERVICES_FOUR, _SERVICES_SIX)
    if dual_stack and pods_six is None and services_six is None:
        pods_six, services_six = unique_local()
    if (pods_six is None) != (services_six is None):
        raise MotetError("a dual-stack cluster needs IPv6 ranges for both: --pod-cidr and --service-cidr")
    for one, other in ((pods_four, services_four), (pods_six, services_six)):
        if one is not None and other is not None and overlap(one, other):
            raise MotetError(f"--pod-cidr {one} and --service-cidr {other} overlap")
    return Ranges(
        str(pods_four),
        str(services_four),
        str(services_four[10]),
        str(pods_six or ""),
        str(services_six or ""),
    )


def unique_local() -> tuple[IPv6Network, IPv6Network]:
    """Pods' and services' range out of a unique local prefix that nobody else is likely to have (RFC 4193, 3.2.2)."""
    prefix = (0xFD << 40 | secrets.randbits(40)) << 80
    return IPv6Network((prefix | 0x4200 << 64, 56)), IPv6Network((prefix | 0x4300 << 64, 112))


def _pair(text: str, option: str, four: range, six: range) -> tuple[IPv4Network, IPv6Network | None]:
    try:
        first, second = pair(text)
    except ValueError as error:
        raise MotetError(f"{option}: {error}") from None
    for network, sizes in ((first, four), (second, six)):
        if network is not None and network.prefixlen not in sizes:
            raise MotetError(f"{option}: {network} has to be between a /{sizes[0]} and a /{sizes[-1]}")
    return first, second
