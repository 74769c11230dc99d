"""A pod sends under its own address alone: what comes into the bridge by a pod's port is looked at before anything else. Pure.

Rules tell pods apart by their addresses, and a container may have raw sockets (CAP_NET_RAW is among a runtime's usual ones).
Ports whose pod is not known are let be. A table of its own family: a kernel without it has everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from motet.network.config import NetworkConfig
from motet.network.policy.views import Pod


def table(config: NetworkConfig) -> str:
    return f"{config.table}_policy"


def base(config: NetworkConfig) -> str:
    """The table from nothing. An ARP question of 0.0.0.0 (RFC 5227) asks whether an address is free, and claims none."""
    name = table(config)
    return f"""\
add table bridge {name}
delete table bridge {name}
table bridge {name} {{
  set ports {{ type ifname; }}
  set own {{ type ifname . ipv4_addr; }}
  chain from_pods {{
    type filter hook prerouting priority -200; policy accept;
    iifname != @ports accept
    iifname . ip saddr != @own drop
    arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @own drop
  }}
}}
"""


def remove(config: NetworkConfig) -> str:
    """The commands that leave nothing of it, whether there was anything or not."""
    return f"add table bridge {table(config)}\ndelete table bridge {table(config)}\n"


def ports_of(pods: Iterable[Pod]) -> dict[str, str]:
    """The address that may be sent from, by port."""
    return {pod.port: pod.address for pod in pods if pod.port}


@dataclass(slots=True)
class Guard:
    """The elements in the kernel, and how to get from them to others."""

    config: NetworkConfig
    _held: dict[str, str] = field(default_factory=dict)

    def change(self, ports: Mapping[str, str]) -> str:
        """The commands that make `ports` true; empty when nothing differs."""
        gone = {port: address for port, address in self._held.items() if ports.get(port) != address}
        fresh = {port: address for port, address in ports.items() if self._held.get(port) != address}
        self._held = dict(ports)
        return "".join((*self._commands("delete", gone), *self._commands("add", fresh)))

    def _commands(self, verb: str, ports: Mapping[str, str]) -> Iterable[str]:
        if ports:
            where = f"{verb} element bridge {table(self.config)}"
            yield f"{where} ports {{ {', '.join(_quoted(port) for port in sorted(ports))} }}\n"
            pairs = (f"{_quoted(port)} . {address}" for port, address in sorted(ports.items()))
            yield f"{where} own {{ {', '.join(pairs)} }}\n"


def _quoted(port: str) -> str:
    return f'"{port}"'
