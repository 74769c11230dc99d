"""A node whose firewall forwards nothing by default (Docker makes it so): let pods' traffic through.

A packet must be accepted by every base chain of a hook, so rules in a table of ours cannot help; four are put at the top of
each chain that would drop, marked with our table's name, and taken out again with it. Nothing else is opened: only what comes
from or goes to pods. Rules of the old iptables (not on nftables) cannot be seen from here.
"""

from __future__ import annotations

import re

from motet.network.config import NetworkConfig
from motet.network.proxy.nft import Nft

_TABLE = re.compile(r"^table (ip6?|inet) (\S+) \{[^\n]*\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_CLOSED = re.compile(r"chain (\S+) \{\s+type filter hook forward [^\n]*policy drop;")
_CHAIN = re.compile(r"^\tchain (\S+) \{[^\n]*\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)


def ensure(nft: Nft, config: NetworkConfig) -> None:
    """Open every closed chain that is not open yet. Raises NftError."""
    for family, table, body in _TABLE.findall(nft.run("list chains")):
        if family == "ip6" and config.six is None:
            continue
        for chain in _CLOSED.findall(body):
            where = f"{family} {table} {chain}"
            held = [line for line in nft.run(f"list chain {where}").splitlines() if _mark(config) in line]
            missing = [way for way in _ways(config) if not any(way in line for line in held)]
            if missing:
                rules = (f'insert rule {where} {way} counter accept comment "{_mark(config)}"' for way in missing)
                nft.run("\n".join(rules))


def remove(nft: Nft, config: NetworkConfig) -> None:
    """Take out what `ensure` put in. Raises NftError."""
    for family, table, body in _TABLE.findall(nft.run("list ruleset", handles=True)):
        for chain, rules in _CHAIN.findall(body):
            for handle in re.findall(rf'comment "{re.escape(_mark(config))}" # handle (\d+)', rules):
                nft.run(f"delete rule {family} {table} {chain} handle {handle}")


def _ways(config: NetworkConfig) -> list[str]:
    """From and to pods of this node, and those of others: published ports lead there too."""
    secret = (config.wireguard.device,) if config.encrypted and config.wireguard else ()
    return [
        f'{side} "{device}"' for device in (config.bridge, config.overlay, *secret) for side in ("iifname", "oifname")
    ]


def _mark(config: NetworkConfig) -> str:
    return f"motet: pods of {config.table}"
