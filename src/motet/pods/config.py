"""What the pods of a node need to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from motet.pods.env import Place
from motet.pods.hosts import ClusterDns


@dataclass(frozen=True, slots=True)
class PodsConfig:
    """One node. `cgroup_parent` is where the groups of pods go (`/motet/pods`); sizes are bytes."""

    place: Place
    pods_directory: Path
    logs_directory: Path
    cgroup_parent: str
    dns: ClusterDns = field(default_factory=ClusterDns)
    # Most processes in one pod; 0 for no limit.
    pids_per_pod: int = 4096
    # Pods being started at a time: more only makes each of them slower.
    starts_at_once: int = 4
    rotate_logs_at: int = 10 * 1024 * 1024
    kept_logs: int = 5
    most_pods: int = 110
    seccomp_profiles: Path = Path("/var/lib/motet/agent/seccomp")
    # Sysctls beyond the safe ones that pods may set; `kernel.msg*` stands for all that begin so.
    unsafe_sysctls: tuple[str, ...] = ()
