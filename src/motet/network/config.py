"""What the network of one node is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

from motet.base.ip import Address, Network
from motet.network.ingress.config import IngressConfig
from motet.network.wireguard.config import WireguardConfig


@dataclass(frozen=True, slots=True)
class SixConfig:
    """The IPv6 networks of a dual-stack cluster; `pods` is this node's part of `all_pods`."""

    pods: IPv6Network
    all_pods: IPv6Network
    services: IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Parsed once at the edge.

    `pods` is this node's part of `all_pods`. `dns_address` must lie in `services`. These are IPv4; on a node of a dual-stack
    cluster `six` has the others. Whatever is done once for each family takes `families()`, which are configurations that
    differ in their networks alone.
    """

    node_name: str
    pods: Network
    all_pods: Network = IPv4Network("10.42.0.0/16")
    services: Network = IPv4Network("10.43.0.0/16")
    # None: the name server has no address of this family.
    dns_address: Address | None = IPv4Address("10.43.0.10")
    six: SixConfig | None = None
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
    def gateway(self) -> Address:
        """The bridge's own address: the first of the node's pod network."""
        return self.pods[1]

    @property
    def version(self) -> int:
        """Of the Internet Protocol."""
        return self.pods.version

    @property
    def family(self) -> str:
        """What nftables calls it: `ip` or `ip6`."""
        return "ip" if self.version == 4 else "ip6"

    @property
    def ipv6(self) -> NetworkConfig | None:
        """The same node's with its IPv6 networks; None where there are none."""
        if self.six is None:
            return None
        six = self.six
        return replace(self, pods=six.pods, all_pods=six.all_pods, services=six.services, dns_address=None, six=None)

    def families(self) -> tuple[NetworkConfig, ...]:
        """One for each family, IPv4 first."""
        return (self,) if self.ipv6 is None else (self, self.ipv6)
