"""How one node agent is set up."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

from motet.identity.messages import NODE_GRACE
from motet.network.ingress.config import IngressConfig
from motet.network.wireguard.config import WireguardConfig
from motet.pods.eviction import DEFAULTS, Threshold
from motet.pods.imagegc import Policy
from motet.runtime.settings import ContainerdConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Parsed once at the edge. `data_dir` must outlive a reboot, `run_dir` need not. Sizes are bytes.

    The certificate (`certificate`, `key`) is both shown to the API server and used for the agent's own listener, so it
    must be valid for `address`.
    """

    server: str
    ca: Path
    certificate: Path
    key: Path
    # InternalIP of the node; what the API server and other nodes reach it by.
    address: str
    node_name: str = field(default_factory=lambda: socket.gethostname().lower())
    data_dir: Path = Path("/var/lib/motet/agent")
    run_dir: Path = Path("/run/motet")
    # Data of local-path volumes.
    volumes_dir: Path = Path("/var/lib/motet/volumes")
    logs_dir: Path = Path("/var/log/pods")
    cgroup_root: str = "/motet"
    # An existing CRI socket to use; None: run a containerd of our own.
    runtime_socket: Path | None = None
    listen: str = "0.0.0.0"
    port: int = 10250
    labels: dict[str, str] = field(default_factory=dict)
    max_pods: int = 110
    # This node's pod network; None: wait for the one the cluster gives it.
    pod_cidr: IPv4Network | None = None
    all_pods: IPv4Network = IPv4Network("10.42.0.0/16")
    services: IPv4Network = IPv4Network("10.43.0.0/16")
    dns_address: IPv4Address = IPv4Address("10.43.0.10")
    # Of a dual-stack cluster; None in one of IPv4 alone.
    all_pods_six: IPv6Network | None = None
    services_six: IPv6Network | None = None
    # Of the node itself in such a cluster; empty if it has none.
    address_six: str = ""
    domain: str = "cluster.local"
    # Of the cluster: whether what is sent to pods of other nodes is encrypted.
    encrypted: bool = False
    bridge: str = "motet0"
    table: str = "motet"
    # How long a node may be silent before the cluster counts it as lost, in seconds.
    node_grace: float = NODE_GRACE
    resolv_conf: str = "/etc/resolv.conf"
    # Kept from pods: for the system and for noticing trouble in time.
    reserved_memory: int = 100 * 1024 * 1024
    reserved_cpu_millis: int = 0
    pids_per_pod: int = 4096
    # When pods are evicted, how long conditions last, and the longest a pod is given when there is time (seconds).
    thresholds: tuple[Threshold, ...] = DEFAULTS
    eviction_transition: float = 300.0
    eviction_grace: int = 0
    # When unused images go.
    images: Policy = Policy()
    # Of one container: bytes in a file, and files.
    rotate_logs_at: int = 10 * 1024 * 1024
    kept_logs: int = 5
    # Sysctls beyond the safe ones that pods may set; `kernel.msg*` stands for all that begin so.
    unsafe_sysctls: tuple[str, ...] = ()

    # What drivers in pods know as `/var/lib/kubelet`: their sockets and volumes; None: below `data_dir`.
    kubelet_dir: Path | None = None

    # Files of pods that this node runs of its own accord; None: below `data_dir`.
    manifests_dir: Path | None = None

    # Storage of the image builder; None: below `data_dir`.
    builder_dir: Path | None = None

    @property
    def builder(self) -> Path:
        return self.builder_dir or self.data_dir / "builder"

    @property
    def manifests(self) -> Path:
        return self.manifests_dir or self.data_dir / "manifests"

    @property
    def kubelet(self) -> Path:
        return self.kubelet_dir or self.data_dir / "kubelet"

    @property
    def containerd(self) -> ContainerdConfig:
        """Where our own containerd lives."""
        return ContainerdConfig.below(self.data_dir, self.run_dir, cgroup_root=self.cgroup_root)

    @property
    def wireguard(self) -> WireguardConfig:
        """Where our WireGuard lives, if one is needed."""
        return WireguardConfig.below(self.data_dir, self.run_dir, cgroup_root=self.cgroup_root)

    @property
    def ingress(self) -> IngressConfig:
        """Where our HTTP proxy lives, once there is an Ingress."""
        return IngressConfig.below(self.data_dir, self.run_dir, cgroup_root=self.cgroup_root)

    @property
    def socket(self) -> Path:
        """The CRI socket in use."""
        return self.runtime_socket or self.containerd.socket

    @property
    def pods_dir(self) -> Path:
        return self.data_dir / "pods"

    @property
    def addresses(self) -> tuple[str, ...]:
        """InternalIPs of the node, IPv4 first."""
        return (self.address, self.address_six) if self.address_six else (self.address,)

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"
