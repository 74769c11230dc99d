"""Where one machine's Motet keeps things: everything follows from the data directory, so two of them never meet.

The default directory gets the well-known places; any other gets places of its own beneath or named after it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

import msgspec

from motet.base import names
from motet.base.errors import MotetError
from motet.base.files import write_atomically
from motet.identity.messages import NODE_GRACE
from motet.machine.ranges import Ranges

DATA_DIR = Path("/var/lib/motet")
KUBELET_DIR = Path("/var/lib/kubelet")
# Files that a kubelet has there, and Motet never.
_KUBELETS_OWN = ("config.yaml", "cpu_manager_state", "memory_manager_state")


class Settings(msgspec.Struct, frozen=True):
    """What is remembered of how the machine was first started (`machine.json`), perhaps by a newer Motet than this."""

    node_name: str
    address: str
    port: int = 6443
    agent_port: int = 10250
    # Of a manager: where it serves the Docker API with TLS; 0 for nowhere.
    docker_port: int = 2376
    pods: str = "10.42.0.0/16"
    services: str = "10.43.0.0/16"
    dns_address: str = "10.43.0.10"
    # Of a dual-stack cluster; empty in one of IPv4 alone.
    pods_six: str = ""
    services_six: str = ""
    domain: str = "cluster.local"
    # How long a node may be silent before it counts as lost.
    node_grace: float = NODE_GRACE
    # Of the whole cluster: whether what is sent to pods of other nodes is encrypted.
    encrypted: bool = False
    bridge: str = "motet0"
    table: str = "motet"
    # A manager's machine runs an agent too; a worker's runs nothing else.
    role: Literal["manager", "worker"] = "manager"
    # Of a worker: URLs of managers, the one in use first.
    servers: tuple[str, ...] = ()
    # Of a manager: every service account gets a Secret with a token that lasts.
    legacy_tokens: bool = False

    @property
    def is_manager(self) -> bool:
        return self.role == "manager"


@dataclass(frozen=True, slots=True)
class Machine:
    """Paths and settings of one Motet on this machine."""

    data_dir: Path

    @property
    def is_default(self) -> bool:
        return self.data_dir == DATA_DIR

    @property
    def run_dir(self) -> Path:
        """Sockets and pid files. Short, since a socket's path may have 107 bytes."""
        return Path("/run/motet") if self.is_default else Path("/run") / f"motet-{self._tag}"

    @property
    def cgroup_root(self) -> str:
        return "/motet" if self.is_default else f"/motet-{self._tag}"

    @property
    def server_dir(self) -> Path:
        return self.data_dir / "server"

    @property
    def store(self) -> Path:
        """The manager's database."""
        return self.server_dir / "state.db"

    @property
    def agent_dir(self) -> Path:
        return self.data_dir / "agent"

    @property
    def kubelet_dir(self) -> Path:
        """Sockets and volumes of CSI drivers: where these look for them, unless that is taken by a kubelet of its own."""
        if self.is_default and not any((KUBELET_DIR / each).exists() for each in _KUBELETS_OWN):
            return KUBELET_DIR
        return self.agent_dir / "kubelet"

    @property
    def csi_dirs(self) -> tuple[Path, ...]:
        """What Motet itself makes below `kubelet_dir`; the rest is the drivers'."""
        return (self.kubelet_dir / "pods", self.kubelet_dir / "plugins" / "kubernetes.io" / "csi")

    @property
    def volumes_dir(self) -> Path:
        return self.data_dir / "volumes"

    @property
    def pod_logs(self) -> Path:
        return self.data_dir / "pod-logs"

    @property
    def builder(self) -> Path:
        """Storage of the image builder."""
        return self.data_dir / "builder"

    @property
    def containerd_socket(self) -> Path:
        """Of the node's own containerd."""
        return self.run_dir / "containerd.sock"

    @property
    def docker_socket(self) -> Path:
        """Of a manager: where `docker` reaches it."""
        return self.run_dir / "docker.sock"

    @property
    def logs(self) -> Path:
        """Logs of Motet's own processes."""
        return self.data_dir / "logs"

    @property
    def pid_file(self) -> Path:
        return self.run_dir / "daemon.pid"

    @property
    def lock_file(self) -> Path:
        """Held by the daemon while it lives."""
        return self.run_dir / "daemon.lock"

    @property
    def kubeconfig(self) -> Path:
        return self.server_dir / "admin.kubeconfig"

    @property
    def pki(self) -> Path:
        """The manager's: authority and administrator."""
        return self.server_dir / "pki"

    @property
    def secret_keys(self) -> Path:
        """What the manager encrypts secrets with in its store."""
        return self.server_dir / "secrets.keys"

    @property
    def token_keys(self) -> Path:
        """The manager's keys of service-account tokens."""
        return self.pki / "service-accounts"

    @property
    def node_pki(self) -> Path:
        return self.agent_dir / "pki"

    @property
    def made(self) -> tuple[Path, ...]:
        """All that Motet keeps in the data directory, what tells it from other directories last."""
        folders = (self.agent_dir, self.pod_logs, self.logs, self.builder, self.volumes_dir, self.server_dir)
        return (*folders, self._settings_file)

    @property
    def is_foreign(self) -> bool:
        """Whether there is something in the directory, and nothing that says it is Motet's."""
        ours = (self._settings_file, self.store, self.agent_dir, self.builder)
        return self.data_dir.is_dir() and any(self.data_dir.iterdir()) and not any(path.exists() for path in ours)

    @property
    def _settings_file(self) -> Path:
        return self.data_dir / "machine.json"

    @property
    def _tag(self) -> str:
        return hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:8]

    def settings(self) -> Settings | None:
        """What was chosen at the first start; None when there was none. Raises MotetError."""
        try:
            return msgspec.json.decode(self._settings_file.read_bytes(), type=Settings)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise MotetError(f"{self._settings_file}: {error}") from error

    def remember(self, settings: Settings) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
        write_atomically(self._settings_file, content, mode=0o644)

    def url(self, settings: Settings) -> str:
        """Where this machine reaches the API."""
        if settings.servers:
            return settings.servers[0]
        return f"https://127.0.0.1:{settings.port}"


def first_settings(
    *, address: str = "", node_name: str = "", encrypted: bool = False, ranges: Ranges | None = None
) -> Settings:
    """Settings for a machine that has none yet. Raises MotetError when it has no address, or a name no node can have."""
    return Settings(
        node_name=_node_name(node_name),
        address=address or primary_address(),
        encrypted=encrypted,
        **(ranges._asdict() if ranges is not None else {}),
    )


def _node_name(wanted: str = "") -> str:
    name = wanted or socket.gethostname().lower()
    if problem := names.subdomain_error(name):
        whose = "the name" if wanted else "this machine's name"
        raise MotetError(f"{whose} {name!r} cannot name a node: {problem}; pass another with --node-name")
    return name


def primary_address(towards: str = "198.51.100.1") -> str:
    """The IPv4 address that connections leave this machine from, on the way to a host. Raises MotetError.

    The default is an address nobody has (RFC 5737).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # A datagram socket sends nothing when it connects; it only picks the way out.
            probe.connect((towards, 9))
            address = str(probe.getsockname()[0])
        except OSError as error:
            raise MotetError(
                "this machine has no network address to give to its node; connect it to a network, or pass --advertise-addr"
            ) from error
    return str(ipaddress.IPv4Address(address))


def networks(settings: Settings) -> tuple[IPv4Network, IPv4Network, IPv4Address]:
    """Pods, services, name server."""
    return IPv4Network(settings.pods), IPv4Network(settings.services), IPv4Address(settings.dns_address)


def networks_six(settings: Settings) -> tuple[IPv6Network | None, IPv6Network | None]:
    """Pods and services of IPv6; None where there are none."""
    pods, services = (IPv6Network(text) if text else None for text in (settings.pods_six, settings.services_six))
    return pods, services
