"""What a container's names are resolved by: `--dns`, `--dns-search`, `--dns-option`. Pure.

As with Docker's own name server, names of the cluster are answered by the node, and the servers that are given are asked by the
node about all others. On the machine's own network they stand in for the machine's, and names of the cluster are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from motet.kinds import podmarks

Json = dict[str, Any]


def put(spec: Json, servers: Sequence[str], searches: Sequence[str], options: Sequence[str]) -> dict[str, str]:
    """Put it into a PodSpec whose networks are there already; the annotations that the pod needs."""
    config: Json = {}
    if searches:
        config["searches"] = list(searches)
    if options:
        pairs = (each.partition(":") for each in options)
        config["options"] = [{"name": name, **({"value": value} if colon else {})} for name, colon, value in pairs]
    if config:
        spec["dnsConfig"] = config
    if not servers:
        return {}
    if spec.get("hostNetwork"):
        spec["dnsPolicy"] = "Default"
    return {podmarks.NAME_SERVERS: podmarks.name_servers_text(servers)}
