"""What a Compose file says, in plain values: sizes in bytes, times in seconds, processors in thousandths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Build:
    """How to make an image."""

    context: Path
    dockerfile: str = ""
    target: str = ""
    args: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port open to the outside. `published` 0 lets the cluster choose; `host` publishes on the task's own node only."""

    target: int
    published: int = 0
    protocol: str = "TCP"
    host_ip: str = ""
    host: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """A place in the container's file system. `source` is a volume's name, a host path, or empty for a fresh directory."""

    kind: str  # volume, bind, tmpfs
    target: str
    source: str = ""
    read_only: bool = False
    size: int = 0
    subpath: str = ""


@dataclass(frozen=True, slots=True)
class FileReference:
    """A secret or config as a service uses it."""

    source: str
    target: str
    mode: int | None = None


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
    """Zero means not given."""

    millicores: int = 0
    memory: int = 0


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
    # Without any it is on the project's own, `default`.
    networks: tuple[Joined, ...] = ()
    secrets: tuple[FileReference, ...] = ()
    configs: tuple[FileReference, ...] = ()
    health: HealthCheck | None = None
    # (service, condition) with condition started, healthy or completed.
    depends_on: tuple[tuple[str, str], ...] = ()
    replicas: int = 1
    everywhere: bool = False
    limits: Resources = Resources()
    reservations: Resources = Resources()
    restart: str = ""  # any, on-failure, none; empty when the file does not say
    labels: tuple[tuple[str, str], ...] = ()
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    read_only: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    stop_grace: int | None = None
    extra_hosts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FileSource:
    """The content of a secret or config."""

    name: str
    content: bytes


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


@dataclass(frozen=True, slots=True)
class Project:
    """The whole file."""

    name: str
    file: Path
    services: tuple[Service, ...]
    volumes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    secrets: tuple[FileSource, ...] = ()
    configs: tuple[FileSource, ...] = ()
