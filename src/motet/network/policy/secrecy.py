"""Encrypted Networks where the cluster is not encrypted: their pods' packets to other nodes take the way through WireGuard. Pure.

What concerns a pod on such a Network, coming from it or going to it, is marked before it is routed; a routing rule leads marked
packets into WireGuard (`wireguard.loop`). Whatever would all the same leave by the unencrypted overlay is dropped: while the way
is not there yet, or somebody took it away, nothing is said in clear. What comes from outside of the cluster to a published port
was in clear before, and keeps its way.
"""

from __future__ import annotations

from motet.network.config import NetworkConfig


def chains(config: NetworkConfig) -> str:
    """Part of a table, with the set `secret` of all such pods' addresses; only the set where everything is encrypted."""
    ip, address = config.family, f"ipv{config.version}_addr"
    if config.encrypted or config.wireguard is None:
        return f"""
  set secret {{ type {address}; }}"""
    mark, inside = f"meta mark set meta mark | {config.wireguard.mark:#x}", config.all_pods
    between = f'oifname "{config.overlay}" {ip} saddr {inside} {ip} daddr {inside}'
    return f"""
  set secret {{ type {address}; }}
  chain to_be_secret {{
    type filter hook prerouting priority -95; policy accept;
    {ip} saddr {inside} {ip} daddr {inside} {ip} daddr != {config.pods} {ip} saddr @secret {mark}
    {ip} saddr {inside} {ip} daddr {inside} {ip} daddr != {config.pods} {ip} daddr @secret {mark}
  }}
  chain said_secretly {{
    type route hook output priority -95; policy accept;
    {ip} daddr != {config.pods} {ip} daddr @secret {mark}
  }}
  chain not_in_clear {{
    type filter hook postrouting priority 120; policy accept;
    {between} {ip} saddr @secret drop
    {between} {ip} daddr @secret drop
  }}"""
