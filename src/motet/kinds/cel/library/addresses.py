"""`ip("10.0.0.1")` and `cidr("10.0.0.0/8")`: addresses and networks, in one form each (RFC 5952)."""

from __future__ import annotations

import ipaddress
from typing import Any

from motet.kinds.cel.library import ANY, BOOL, INT, STRING, Function, tagged, untagged

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_IP, _CIDR = "ip", "cidr"


def _parse_ip(text: str) -> _Address:
    if "%" in text:
        raise ValueError(f"IP Address {text!r} with zone value is not allowed")
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"IP Address {text!r} parse error during conversion from string") from None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        raise ValueError(f"IPv4-mapped IPv6 address {text!r} is not allowed")
    return found


def _parse_cidr(text: str) -> _Interface:
    address, slash, bits = text.partition("/")
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        found = None
    if found is None or not slash or not bits.isdigit():
        raise ValueError(f"network address parse error during conversion from string: {text!r}")
    _parse_ip(address)
    return found


def _valid(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(_parse_ip(text)) == text


def _address(value: Any) -> _Address:
    return ipaddress.ip_address(untagged(_IP, value))


def _network(value: Any) -> _Interface:
    return ipaddress.ip_interface(untagged(_CIDR, value))


def _cidr(found: _Interface) -> dict[str, Any]:
    return tagged(_CIDR, found.with_prefixlen)


def _family(value: Any) -> int:
    return _address(value).version


def _contains_ip(value: Any, other: Any) -> bool:
    return (_parse_ip(other) if isinstance(other, str) else _address(other)) in _network(value).network


def _contains_cidr(value: Any, other: Any) -> bool:
    outer, inner = _network(value), _parse_cidr(other) if isinstance(other, str) else _network(other)
    if outer.version != inner.version:
        return False
    return outer.network.prefixlen <= inner.network.prefixlen and inner.ip in outer.network


def _text(value: Any) -> str:
    for tag in (_IP, _CIDR):
        if isinstance(value, dict) and f"@{tag}" in value:
            return str(value[f"@{tag}"])
    raise ValueError("no such overload")


def _asked(name: str, test: Any) -> Function:
    return Function(name, (ANY,), BOOL, lambda value: bool(test(_address(value))), member=True)


def _link_local_group(found: _Address) -> bool:
    """224.0.0.0/24, or scope 2 of IPv6."""
    if found.version == 4:
        return found in ipaddress.ip_network("224.0.0.0/24")
    return found.packed[1] & 0x0F == 2


def _is_global_unicast(found: _Address) -> bool:
    """As Go has it: anything that is neither special nor a group."""
    broadcast = found == ipaddress.IPv4Address("255.255.255.255")
    special = found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local
    return not (broadcast or special)


FUNCTIONS = (
    Function("ip", (STRING,), ANY, lambda text: tagged(_IP, str(_parse_ip(text)))),
    Function("isIP", (STRING,), BOOL, lambda text: _valid(_parse_ip, text)),
    Function("ip.isCanonical", (STRING,), BOOL, _is_canonical),
    Function("family", (ANY,), INT, _family, member=True),
    _asked("isUnspecified", lambda found: found.is_unspecified),
    _asked("isLoopback", lambda found: found.is_loopback),
    _asked("isLinkLocalMulticast", lambda found: found.is_multicast and _link_local_group(found)),
    _asked("isLinkLocalUnicast", lambda found: found.is_link_local),
    _asked("isGlobalUnicast", _is_global_unicast),
    Function("cidr", (STRING,), ANY, lambda text: _cidr(_parse_cidr(text))),
    Function("isCIDR", (STRING,), BOOL, lambda text: _valid(_parse_cidr, text)),
    Function("containsIP", (ANY, ANY), BOOL, _contains_ip, member=True),
    Function("containsCIDR", (ANY, ANY), BOOL, _contains_cidr, member=True),
    Function("ip", (ANY,), ANY, lambda value: tagged(_IP, str(_network(value).ip)), member=True),
    Function("masked", (ANY,), ANY, lambda value: tagged(_CIDR, str(_network(value).network)), member=True),
    Function("prefixLength", (ANY,), INT, lambda value: _network(value).network.prefixlen, member=True),
    Function("string", ("map",), STRING, _text),
)
