"""What a service refers to, as it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

PLACEHOLDER = "{{"


@dataclass(slots=True)
class Surroundings:
    """What a service refers to, found beforehand. Networks, secrets and configs by whatever they were asked for by.

    `everywhere`: one task on each node, each with volumes of its own. `host_network` holds how the host's may be called.
    """

    namespace: str
    volumes_dir: str
    networks: Mapping[str, str] = field(default_factory=dict)
    host_network: frozenset[str] = frozenset()
    no_network: frozenset[str] = frozenset()
    everywhere: bool = False
    # Host-published ports, from the EndpointSpec: they are the container's in the kernel.
    host_ports: tuple[Json, ...] = ()
    # What is filled in for each task: (`Secrets` or `Configs`, name).
    templates: set[tuple[str, str]] = field(default_factory=set)
    # Named volumes that the pod needs.
    volumes: dict[str, dict[str, str]] = field(default_factory=dict)
