"""Connections that enter the cluster on one node and are answered by a pod on another go out under this node's address.

The pod answers whom it sees; if that were the client, the answer would take another way than the question and be thrown
away. Connections between pods keep both addresses. A table of its own, so that rewriting the services' does not touch it.
"""

from __future__ import annotations

from motet.network.config import NetworkConfig
from motet.network.proxy.nft import Nft, NftError


def table(config: NetworkConfig) -> str:
    return f"{config.table}_overlay"


def ensure(config: NetworkConfig, *, wanted: bool) -> int:
    """Have the rule if `wanted`, else not; answers 1 if it had to be made or removed. Raises NftError."""
    nft, name = Nft(), table(config)
    try:
        nft.run(f"list chain ip {name} leaving")
        held = True
    except NftError:
        held = False
    if wanted and not held:
        nft.run(rules(config))
    elif held and not wanted:
        nft.remove_table(name)
    return int(wanted != held)


def rules(config: NetworkConfig) -> str:
    """The table from nothing. It comes after the services' own translation, which remembers clients' choices."""
    name = table(config)
    return f"""\
add table ip {name}
delete table ip {name}
table ip {name} {{
  chain leaving {{
    type nat hook postrouting priority 101; policy accept;
    oifname "{config.overlay}" ip saddr != {config.all_pods} snat to {config.gateway}
  }}
}}
"""
