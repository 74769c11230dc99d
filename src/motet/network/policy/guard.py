"""A pod sends under its own address alone: what comes into the bridge by a pod's port is looked at before anything else. Pure.

Rules tell pods apart by their addresses, and a container may have raw sockets (CAP_NET_RAW is among a runtime's usual ones).
Ports whose pod is not known are let be. A table of its own family: a kernel without it has everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from motet.network.config import NetworkConfig
from motet.network.policy.views import Pod


def table(config: NetworkConfig) -> str:
    return f"{config.table}_policy"


def base(config: NetworkConfig) -> str:
    """The table from nothing. An ARP question of 0.0.0.0 (RFC 5227) asks whether an address is free, and claims none."""
    name = table(config)
    sets, rules = (_SETS_OF_IPV6, _RULES_OF_IPV6) if config.six is not None else ("", "")
    return f"""\
add table bridge {name}
delete table bridge {name}
table bridge {name} {{
  set ports {{ type ifname; }}
  set own {{ type ifname . ipv4_addr; }}{sets}
  chain from_pods {{
    type filter hook prerouting priority -200; policy accept;
    iifname != @ports accept
    iifname . ip saddr != @own drop
    arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @own drop{rules}
  }}
}}
"""


# Of IPv6, neighbours are found by ICMP (RFC 4861), and every interface has an address of the link as well, from which it asks
# for others. Whoever answers for an address must have it: what is answered for is at byte 8 of the message. Nobody is a router.
_SETS_OF_IPV6 = """
  set own_six { type ifname . ipv6_addr; }
  set claims { typeof iifname . @th,64,128; }"""
_RULES_OF_IPV6 = """
    icmpv6 type { nd-router-advert, nd-redirect } drop
    icmpv6 type nd-neighbor-advert @th,64,64 != 0xfe80000000000000 iifname . @th,64,128 != @claims drop
    ip6 saddr { ::, fe80::/10 } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname . ip6 saddr != @own_six drop"""


def remove(config: NetworkConfig) -> str:
    """The commands that leave nothing of it, whether there was anything or not."""
    return f"add table bridge {table(config)}\ndelete table bridge {table(config)}\n"


# IPv4 and IPv6, either empty for none.
Addresses = tuple[str, str]


def ports_of(pods: Iterable[Pod]) -> dict[str, Addresses]:
    """The addresses that may be sent from, by port."""
    return {pod.port: (pod.address, pod.second) for pod in pods if pod.port}


@dataclass(slots=True)
class Guard:
    """The elements in the kernel, and how to get from them to others."""

    config: NetworkConfig
    _held: dict[str, Addresses] = field(default_factory=dict)

    def change(self, ports: Mapping[str, Addresses]) -> str:
        """The commands that make `ports` true; empty when nothing differs."""
        gone = {port: held for port, held in self._held.items() if ports.get(port) != held}
        fresh = {port: wanted for port, wanted in ports.items() if self._held.get(port) != wanted}
        self._held = dict(ports)
        return "".join((*self._commands("delete", gone), *self._commands("add", fresh)))

    def _commands(self, verb: str, ports: Mapping[str, Addresses]) -> Iterable[str]:
        sets: dict[str, list[str]] = {"ports": [_quoted(port) for port in sorted(ports)]}
        for port, (first, second) in sorted(ports.items()):
            if first:
                sets.setdefault("own", []).append(f"{_quoted(port)} . {first}")
            if second and self.config.six is not None:
                sets.setdefault("own_six", []).append(f"{_quoted(port)} . {second}")
                sets.setdefault("claims", []).append(f"{_quoted(port)} . {int(IPv6Address(second)):#x}")
        for name, elements in sets.items():
            if elements:
                yield f"{verb} element bridge {table(self.config)} {name} {{ {', '.join(elements)} }}\n"


def _quoted(port: str) -> str:
    return f'"{port}"'
