"""What a node needs of a container runtime. containerd and the hollow runtime both pass `tests/runtime/conformance`.

The shapes follow CRI v1 (k8s.io/cri-api) in Motet's words. Times are nanoseconds since the epoch; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from motet.base.errors import MotetError


class RuntimeFailure(MotetError):
    """The runtime refused or failed. `reason` is a word for events and container status."""

    def __init__(self, message: str, reason: str = "RuntimeError") -> None:
        super().__init__(message)
        self.reason = reason


class NoSuchContainer(RuntimeFailure):
    pass


class ImageNotFound(RuntimeFailure):
    """No such image here, or the registry does not have it or would not give it."""


class RuntimeUnavailable(RuntimeFailure):
    """Nobody answers on the runtime's socket; it may be restarting."""


class ContainerState(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the pod published on the host by the CNI portmap or the service proxy."""

    container_port: int
    host_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """The pod's /etc/resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """A pod's shared surroundings: network, host name, cgroup parent."""

    name: str
    namespace: str
    uid: str
    attempt: int
    hostname: str
    log_directory: str
    # Absolute below the cgroup mount; the agent makes and removes it (`cgroups.Cgroups`).
    cgroup_parent: str
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    dns: DnsConfig = DnsConfig()
    ports: tuple[Port, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_processes: bool = False
    run_as_user: int | None = None
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    # Which of the runtime's handlers runs the pod; empty for its default.
    handler: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path bound into the container. `propagation` is private, host-to-container or bidirectional."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = "private"


@dataclass(frozen=True, slots=True)
class Resources:
    """Cgroup limits; zero or None means unlimited."""

    cpu_shares: int = 2
    cpu_quota: int = 0
    cpu_period: int = 100_000
    memory_limit: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class Security:
    """What the container may do. Defaults are the safe ones."""

    run_as_user: int | None = None
    run_as_username: str = ""
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = True
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    # runtime/default, unconfined, or localhost/PATH
    seccomp: str = "runtime/default"
    # The same of AppArmor, where NAME is a loaded profile's; empty for the runtime's choice.
    apparmor: str = ""
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """One container of a pod."""

    name: str
    attempt: int
    image: str
    log_path: str  # relative to the sandbox's log_directory
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[tuple[str, str, str], ...] = ()  # (host path, container path, permissions such as rwm)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = Resources()
    security: Security = Security()
    # Share the process namespace of the pod (True), or have one of its own (False).
    pid_of_pod: bool = False
    pid_of_host: bool = False
    # The id of a container whose process namespace to share instead.
    pid_of_container: str = ""
    # A name or a number (SIGUSR1, 10); empty for the image's own.
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox as the runtime sees it."""

    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    ready: bool
    created_at: int
    ips: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the runtime sees it. The last six fields are filled by `container` (one) but not by `containers`."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: ContainerState
    created_at: int
    image: str = ""
    image_ref: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    log_path: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An image present on the node. `user` is the USER of its configuration: a number or a name, or neither."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    uid: int | None = None
    username: str = ""


@dataclass(frozen=True, slots=True)
class ExecResult:
    stdout: bytes
    stderr: bytes
    exit_code: int


class EventKind(StrEnum):
    STARTED = "started"
    EXITED = "exited"
    OOM = "oom"
    REMOVED = "removed"
    # The stream was interrupted: look at everything again.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something happened to `container_id` (which may be a sandbox's own)."""

    kind: EventKind
    container_id: str = ""
    exit_code: int = 0


class Runtime(Protocol):
    """A container runtime on this node.

    Stopping and removing what is not there succeeds; looking at it or starting it raises NoSuchContainer.
    Every call may raise RuntimeUnavailable while the runtime restarts.
    """

    async def version(self) -> tuple[str, str]:
        """(name, version), for Node.status.nodeInfo. Raises RuntimeUnavailable."""
        ...

    async def network_ready(self) -> str:
        """An empty string when pods can get addresses, else why not."""
        ...

    async def run_sandbox(self, config: SandboxConfig) -> str: ...

    async def stop_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_sandbox(self, sandbox_id: str) -> None: ...

    async def sandbox(self, sandbox_id: str) -> Sandbox: ...

    async def sandboxes(self) -> list[Sandbox]: ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, grace_seconds: int) -> None: ...

    async def remove_container(self, container_id: str) -> None: ...

    async def container(self, container_id: str) -> Container: ...

    async def containers(self) -> list[Container]: ...

    async def update_resources(self, container_id: str, resources: Resources) -> None: ...

    async def resources(self, container_id: str) -> Resources:
        """What the container has now: as it was made, or as it was changed last."""
        ...

    async def disk_usage(self) -> dict[str, tuple[int, int]]:
        """Bytes and inodes that each container (by id) has written to its own layer; may lag by some seconds."""
        ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run to the end. Raises TimeoutError after `timeout` seconds (0: none)."""
        ...

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        """Where to connect for an interactive exec (http URL on loopback)."""
        ...

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def reopen_log(self, container_id: str) -> None: ...

    async def image(self, reference: str) -> Image | None: ...

    async def images(self) -> list[Image]: ...

    async def image_config(self, reference: str) -> dict[str, Any] | None:
        """What containers of an image are made with (OCI image-spec, "config", and Docker's `Healthcheck`); None if it is not
        here.
        """
        ...

    async def pull(self, reference: str, auth: dict[str, str] | None = None) -> str:
        """Pull and return the image's reference. Raises ImageNotFound, RuntimeFailure."""
        ...

    async def import_image(self, archive: str) -> list[str]:
        """Load an OCI or docker-archive tar file from the path `archive`; returns the names it now has."""
        ...

    async def remove_image(self, reference: str) -> None: ...

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Exits, starts, OOM kills and removals as they happen; never ends.

        LOST comes first and after every gap. When EXITED is yielded, `container` already says so.
        """
        ...

    async def close(self) -> None: ...
