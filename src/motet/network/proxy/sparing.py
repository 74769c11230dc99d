"""In an encrypted cluster: what keeps its client's address takes VXLAN, and that goes through WireGuard. Pure.

WireGuard lets a node send under addresses of its own only, and a client's is none. Such packets are spared from WireGuard by a
mark, so that they are routed into VXLAN, whose own packets go from node to node through WireGuard. VXLAN believes everything;
so nothing is taken from it that was not encrypted, nor what begins under a pod's address, which comes by WireGuard or not at all.
"""

from __future__ import annotations

from motet.network.config import NetworkConfig


def chains(config: NetworkConfig) -> str:
    """Part of the table, empty in clusters that are not encrypted."""
    if not config.encrypted or config.wireguard is None:
        return ""
    tunnel, secret, inside = config.overlay, config.wireguard.device, config.all_pods
    bit, rest = config.wireguard.spared, 0xFFFF_FFFF ^ config.wireguard.spared
    ip = config.family
    kept = f"{ip} daddr @keeping ct mark != @hiding fib saddr type != local"
    return f"""
  chain sparing {{
    type filter hook prerouting priority -95; policy accept;
    ct status dnat ct direction original {ip} saddr != {inside} {kept} meta mark set meta mark | {bit:#x}
  }}
  chain spared {{
    type filter hook postrouting priority 120; policy accept;
    oifname "{tunnel}" meta mark set meta mark & {rest:#x}
  }}
  chain believed {{
    type filter hook prerouting priority -150; policy accept;
    iifname "{tunnel}" {ip} saddr {inside} ct direction original drop
  }}
  chain was_secret {{
    type filter hook input priority -5; policy accept;
    udp dport {config.vxlan_port} @th,96,24 {config.vni} iifname != "{secret}" drop
  }}"""
