"""How one manager is set up."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from motet.identity.authority import NODE_LIFETIME
from motet.identity.messages import NODE_GRACE


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Parsed once at the edge. `data_dir` holds everything a manager must not lose."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 6443
    # Addresses other machines and pods reach this manager by, the first being the one to advertise.
    addresses: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    services: IPv4Network = IPv4Network("10.43.0.0/16")
    dns_address: IPv4Address = IPv4Address("10.43.0.10")
    pods: IPv4Network = IPv4Network("10.42.0.0/16")
    # Of a dual-stack cluster; None in one of IPv4 alone.
    pods_six: IPv6Network | None = None
    services_six: IPv6Network | None = None
    domain: str = "cluster.local"
    # Whether nodes encrypt what they send to pods of other nodes.
    encrypted: bool = False
    # Where local-path volumes live on every node.
    volumes_dir: Path = Path("/var/lib/motet/volumes")
    # Whether a write is on the disk before it is answered (FULL), or a power cut may take the last ones back (NORMAL).
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    # Superseded revisions are kept this long, for watches that come back and for looking into the past.
    history_seconds: float = 600.0
    # How long a node may be silent before it counts as lost.
    node_grace: float = NODE_GRACE
    # How long certificates are good for that this manager gives to itself and to nodes; renewed at two thirds.
    certificate_lifetime: timedelta = NODE_LIFETIME
    # Where it is written down who did what; None for nowhere.
    audit_log: Path | None = None
    # Which requests and how much of them; None for `audit-policy.yaml` in the data directory, if it is there.
    audit_policy: Path | None = None
    # Where root of this machine reaches the Docker API, and the port where owners of certificates do; None and 0 for nowhere.
    docker_socket: Path | None = None
    docker_port: int = 0
    # Every service account gets a Secret with a token that lasts, as before Kubernetes 1.24.
    legacy_tokens: bool = False

    @property
    def pki(self) -> Path:
        return self.data_dir / "pki"

    @property
    def token_keys(self) -> Path:
        """The keys of service-account tokens."""
        return self.pki / "service-accounts"

    @property
    def secret_keys(self) -> Path:
        """What secrets are encrypted with in the store."""
        return self.data_dir / "secrets.keys"

    @property
    def issuer(self) -> str:
        """Who issues service-account tokens, and the audience that stands for the API server."""
        return f"https://kubernetes.default.svc.{self.domain}"

    @property
    def store(self) -> Path:
        return self.data_dir / "state.db"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, written at every start."""
        return self.data_dir / "admin.kubeconfig"

    @property
    def advertised(self) -> str:
        """The address given to others."""
        if self.addresses:
            return self.addresses[0]
        return "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host

    @property
    def reachable(self) -> bool:
        """Whether anybody but this machine can reach the advertised address."""
        return not IPv4Address(self.advertised).is_loopback

    @property
    def url(self) -> str:
        """Where clients on this machine connect."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host
        return f"https://{host}:{self.port}"

    @property
    def service_address(self) -> IPv4Address:
        """Of the Service named `kubernetes`: the first of the range."""
        return self.services[1]

    @property
    def subject_names(self) -> tuple[str, ...]:
        """What the server's certificate must be valid for."""
        own = {"localhost", "127.0.0.1", socket.gethostname(), *self.addresses, *self.names}
        if self.host not in ("0.0.0.0", ""):
            own.add(self.host)
        inside = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{self.domain}")
        return (*sorted(own), *inside, str(self.service_address))
