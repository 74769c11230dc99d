"""What the network of one node is made of."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from motet.network.ingress.config import IngressConfig
from motet.network.wireguard.config import WireguardConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Parsed once at the edge; all networks are IPv4.

    `pods` is this node's part of `all_pods`. `dns_address` must lie in `services`.
    """

    node_name: str
    pods: IPv4Network
    all_pods: IPv4Network = IPv4Network("10.42.0.0/16")
    services: IPv4Network = IPv4Network("10.43.0.0/16")
    dns_address: IPv4Address = IPv4Address("10.43.0.10")
    domain: str = "cluster.local"
    bridge: str = "motet0"
    table: str = "motet"
    # Bytes a pod may send at once; 0 takes what fits into the tunnel to other nodes.
    mtu: int = 0
    # What other nodes send this node's packets to; None keeps the node to itself.
    address: IPv4Address | None = None
    # The tunnel's device, network identifier and UDP port; the last two are the same on all nodes.
    overlay: str = "motet-overlay"
    vni: int = 4242
    vxlan_port: int = 4789
    # Whether packets to other nodes' pods are encrypted, all of them, instead of taking the overlay.
    encrypted: bool = False
    wireguard: WireguardConfig | None = None
    # Where Ingresses are served from; None serves none.
    ingress: IngressConfig | None = None
    cni_config: Path
    cni_state: Path
    # Where names outside the cluster are asked for; empty means those of /etc/resolv.conf.
    upstream: tuple[str, ...] = ()

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's own address: the first of the node's pod network."""
        return self.pods[1]
