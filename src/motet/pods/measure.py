"""How much of the node each pod uses: memory and processes from its control groups, disk by looking.

Looking at a directory costs as much as there is in it, so it is done in a thread, and only for pods somebody asks about.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from motet.pods.eviction import Usage
from motet.pods.execute import Tools, cgroup_of, log_directory
from motet.pods.model import Observed
from motet.pods.observe import RuntimeView
from motet.pods.spec import Pod

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes on disk and files."""

    size: int = 0
    inodes: int = 0

    def __add__(self, other: Space) -> Space:
        return Space(self.size + other.size, self.inodes + other.inodes)


def space_of(directory: Path) -> Space:
    """All that is below a directory on its own file system; what vanishes meanwhile does not count."""
    try:
        top = os.stat(directory, follow_symlinks=False)
    except OSError:
        return Space()
    size, inodes, waiting = top.st_blocks * _BLOCK, 1, [str(directory)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if found.st_dev != top.st_dev:
                        continue
                    size, inodes = size + found.st_blocks * _BLOCK, inodes + 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue
    return Space(size, inodes)


class Measure:
    """Of the pods of one node."""

    def __init__(self, tools: Tools, view: RuntimeView) -> None:
        self._tools = tools
        self._view = view

    async def pods(self, pods: Iterable[Pod], *, disk: bool) -> list[tuple[Pod, Usage]]:
        """What each uses; its disk only when asked. Raises RuntimeFailure."""
        pods = list(pods)
        everything = await self._view.everything()
        written = await self._tools.runtime.disk_usage() if disk else {}
        return await asyncio.to_thread(
            lambda: [(pod, self._one(pod, everything.get(pod.metadata.uid, Observed()), written, disk)) for pod in pods]
        )

    def _one(self, pod: Pod, observed: Observed, written: Mapping[str, tuple[int, int]], disk: bool) -> Usage:
        group = cgroup_of(self._tools.config, pod)
        whole = self._tools.cgroups.usage(group)
        containers: dict[str, int] = {}
        for container in observed.containers:
            used = self._tools.cgroups.usage(f"{group}/{container.id}")
            if used is not None:
                containers[container.name] = containers.get(container.name, 0) + used.working_set
        memory, pids = (whole.working_set, whole.pids) if whole is not None else (0, 0)
        if not disk:
            return Usage(memory=memory, pids=pids, containers=containers)
        own = {container.name: Space() for container in observed.containers}
        for container in observed.containers:
            own[container.name] += Space(*written.get(container.id, (0, 0)))
        for name in own:
            own[name] += space_of(log_directory(self._tools.config, pod) / name)
        volumes = {
            volume.name: space_of(self._tools.volumes.at(pod, volume.name))
            for volume in pod.spec.volumes or ()
            if volume.empty_dir is not None and volume.empty_dir.medium != "Memory"
        }
        total = sum((*own.values(), *volumes.values()), Space())
        return Usage(
            memory=memory,
            disk=total.size,
            inodes=total.inodes,
            pids=pids,
            containers=containers,
            container_disk={name: space.size for name, space in own.items()},
            volumes={name: space.size for name, space in volumes.items()},
        )
