"""What a Compose file says, in plain values: sizes in bytes, times in seconds, processors in thousandths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Build:
    """How to make an image."""

    context: Path
    dockerfile: str = ""
    target: str = ""
    args: tuple[tuple[str, str], ...] = ()
    # The Dockerfile itself, instead of a file's name.
    inline: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    no_cache: bool = False
    pull: bool = False
    platform: str = ""
    # (name, path or reference) of what a Dockerfile may copy from.
    contexts: tuple[tuple[str, str], ...] = ()
    cache_from: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    # (what the build calls it, the file's secret).
    secrets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port open to the outside. `published` 0 lets the cluster choose; `host` publishes on the task's own node only."""

    target: int
    published: int = 0
    protocol: str = "TCP"
    host_ip: str = ""
    host: bool = False
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """A place in the container's file system. `source` is a volume's name, a host path, or empty for a fresh directory.

    A bind's directory is made where it is missing if `create`; `propagation` is that of the kernel's volumeMounts.
    """

    kind: str  # volume, bind, tmpfs
    target: str
    source: str = ""
    read_only: bool = False
    size: int = 0
    subpath: str = ""
    create: bool = True
    propagation: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the node, and where it is in the container. `block`: it holds data in blocks, as disks do."""

    source: str
    target: str
    block: bool = False


@dataclass(frozen=True, slots=True)
class FileReference:
    """A secret or config as a service uses it."""

    source: str
    target: str
    mode: int | None = None
    # (user, group) that the file belongs to.
    owner: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """`command` is what to run in the container; empty means the check is switched off."""

    command: tuple[str, ...]
    interval: int = 30
    timeout: int = 30
    retries: int = 3
    start_period: int = 0
    # Until it is healthy for the first time; 0 means not given.
    start_interval: int = 0


@dataclass(frozen=True, slots=True)
class Resources:
    """Zero means not given. `counted` are resources that nodes have so many of, such as example.com/gpu."""

    millicores: int = 0
    memory: int = 0
    counted: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Restart:
    """What happens after an end: `condition` is any, on-failure or none, empty where the file does not say.

    With a delay, a limit or a window there are successors instead of restarts in place (`spec.restart` of an App).
    """

    condition: str = ""
    delay: float | None = None
    attempts: int = 0
    window: float = 0

    @property
    def replaces(self) -> bool:
        return self.delay is not None or self.attempts > 0 or self.window > 0


@dataclass(frozen=True, slots=True)
class Update:
    """How tasks are replaced; None where the file does not say."""

    parallelism: int | None = None
    delay: float | None = None
    failure_action: str | None = None
    monitor: float | None = None
    max_failure_ratio: float | None = None
    order: str | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Which nodes a service may be on. Constraints and preferences are written as an App's."""

    constraints: tuple[str, ...] = ()
    preferences: tuple[str, ...] = ()
    most_per_node: int = 0
    # Of images: operating system and processor, as nodes are labelled.
    platform: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Dns:
    """Further names and options of the resolver, and the servers that the node asks about names outside the cluster."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Privileges:
    """What a container may and may not. None where the file does not say."""

    # USER or USER:GROUP, numbers or names.
    user: str = ""
    groups: tuple[int, ...] = ()
    read_only: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new: bool | None = None
    # Profiles: `unconfined`, or of AppArmor one that the node has loaded.
    seccomp: str = ""
    apparmor: str = ""
    sysctls: tuple[tuple[str, str], ...] = ()

    @property
    def user_by_name(self) -> bool:
        """Whether user or group is a name, which a pod's own fields have no room for."""
        return bool(self.user) and not all(part.isdigit() for part in self.user.split(":"))


# How a service is kept up: `mode` of the Compose Specification.
REPLICATED, GLOBAL, REPLICATED_JOB, GLOBAL_JOB = "replicated", "global", "replicated-job", "global-job"


@dataclass(frozen=True, slots=True)
class Joined:
    """A network that a service is on, by its key in the file, and the further names the service has there."""

    network: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the file."""

    name: str
    line: int
    image: str = ""
    build: Build | None = None
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: tuple[tuple[str, str], ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    expose: tuple[tuple[int, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    # (service, whether to read only) whose mounts this one has, too.
    mounts_of: tuple[tuple[str, bool], ...] = ()
    devices: tuple[Device, ...] = ()
    # Without any it is on the project's own, `default`.
    networks: tuple[Joined, ...] = ()
    # (service, what it is called here).
    links: tuple[tuple[str, str], ...] = ()
    secrets: tuple[FileReference, ...] = ()
    configs: tuple[FileReference, ...] = ()
    health: HealthCheck | None = None
    # (service, condition) with condition started, healthy or completed.
    depends_on: tuple[tuple[str, str], ...] = ()
    # Services whose change replaces this one's tasks, too.
    follows: tuple[str, ...] = ()
    mode: str = REPLICATED
    replicas: int = 1
    # The file says how many.
    sized: bool = True
    # More of its App's spec, asked for by labels.
    wishes: Mapping[str, Any] = field(default_factory=dict)
    limits: Resources = Resources()
    reservations: Resources = Resources()
    # Processes that the service may have; 0 for as many as the node allows.
    processes: int = 0
    # Its place among those that are ended when memory runs out; None: by what it reserves.
    oom_score: int | None = None
    # One address for all tasks, instead of all their addresses.
    virtual: bool = False
    restart: Restart = Restart()
    update: Update | None = None
    rollback: Update | None = None
    placement: Placement = Placement()
    annotations: tuple[tuple[str, str], ...] = ()
    # Of the service and not of its containers, for placeholders.
    labels: tuple[tuple[str, str], ...] = ()
    privileges: Privileges = Privileges()
    working_dir: str = ""
    hostname: str = ""
    stop_grace: int | None = None
    stop_signal: str = ""
    post_start: tuple[str, ...] = ()
    pre_stop: tuple[str, ...] = ()
    extra_hosts: tuple[tuple[str, str], ...] = ()
    dns: Dns = Dns()
    # Namespaces of the node that the pod is in: network, ipc, pid.
    of_node: frozenset[str] = frozenset()
    init: bool = False
    stdin: bool = False
    tty: bool = False
    # What its pods are marked with so that their logs stay small.
    logging: tuple[tuple[str, str], ...] = ()
    # always, never, build, or empty: whatever is missing.
    pull: str = ""
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A secret or config. An `external` one's content is the cluster's, and `title` what it is called there."""

    name: str
    content: bytes
    line: int = 0
    external: bool = False
    title: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    # It has placeholders that are filled in for each task.
    template: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """A named volume. `path` is a directory of the node's that it stands for; an `external` one must be there."""

    key: str
    name: str
    line: int = 0
    external: bool = False
    path: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the file. `key` is what services call it, `name` what it is called outside of the file.

    An `external` one is somebody else's, and must be there.
    """

    key: str
    name: str
    line: int = 0
    external: bool = False
    internal: bool = False
    attachable: bool = False
    encrypted: bool = False
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """The whole file, or several made one. `asleep` are services of profiles that are not asked for."""

    name: str
    file: Path
    services: tuple[Service, ...]
    volumes: tuple[Volume, ...] = ()
    networks: tuple[Network, ...] = ()
    secrets: tuple[FileSource, ...] = ()
    configs: tuple[FileSource, ...] = ()
    asleep: tuple[str, ...] = ()
