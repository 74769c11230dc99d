"""What the node, its pods and their containers use, from control groups: samples now and then, and rates between two of them.

One pass reads three small files per container. Processor time is a counter, so a rate needs two looks; of a container that
is younger than the last look, its start is the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motet.agent import machine, processes
from motet.base.clock import Clock
from motet.pods.execute import cgroup_of
from motet.pods.manager import Manager
from motet.pods.model import seconds
from motet.pods.spec import Pod
from motet.runtime.cgroups import Cgroups
from motet.runtime.interface import Container, ContainerState

_EVERY = 15.0
# Two looks closer than this say little about a rate.
_LEAST = 1.0

NODE = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """`cpu` in nanoseconds so far, `memory` in bytes."""

    cpu: int
    memory: int


@dataclass(frozen=True, slots=True)
class Owner:
    """A container with its pod; `container` empty for a pod as a whole."""

    namespace: str
    pod: str
    uid: str
    container: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """Everything at one instant (epoch seconds). `node` is the whole machine; the rest by container id or pod uid."""

    at: float
    node: Reading
    readings: Mapping[str, Reading] = field(default_factory=dict)
    owners: Mapping[str, Owner] = field(default_factory=dict)
    started: Mapping[str, float] = field(default_factory=dict)
    # Counters of each interface (`processes.interfaces`): of the machine (NODE), and by uid of pods with a network of their own.
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rate:
    """Nanocores and bytes, over `window` seconds that ended at `at`."""

    cpu: int
    memory: int
    at: float
    window: float


def rate(key: str, now: Look, before: Look | None) -> Rate | None:
    """What `key` (NODE for the machine) used between two looks; None when too little is known of it."""
    reading = now.node if key == NODE else now.readings.get(key)
    if reading is None:
        return None
    earlier = None if before is None else before.node if key == NODE else before.readings.get(key)
    if before is not None and earlier is not None and earlier.cpu <= reading.cpu:
        cpu, window = reading.cpu - earlier.cpu, now.at - before.at
    elif key in now.started:
        cpu, window = reading.cpu, now.at - now.started[key]
    else:
        return None
    if window < _LEAST:
        return None
    return Rate(int(cpu / window), reading.memory, now.at, window)


class Sampler:
    """Of one node; `run` keeps the last two looks fresh."""

    def __init__(self, manager: Manager, cgroups: Cgroups, clock: Clock) -> None:
        self._manager = manager
        self._cgroups = cgroups
        self._clock = clock
        self.last: Look | None = None
        self.before: Look | None = None

    async def run(self) -> None:
        """Look every fifteen seconds until cancelled."""
        while True:
            look = await self.look()
            self.before, self.last = self.last, look
            await self._clock.sleep(_EVERY)

    async def look(self) -> Look:
        """Everything now. Raises RuntimeFailure."""
        everything = await self._manager.view.everything()
        pods = list(self._manager.pods())
        running = {
            pod.metadata.uid: [
                await self._manager.view.detailed(made)
                for made in everything[pod.metadata.uid].containers
                if made.state is ContainerState.RUNNING
            ]
            for pod in pods
            if pod.metadata.uid in everything
        }
        return await asyncio.to_thread(self._read, pods, running)

    def _read(self, pods: Iterable[Pod], running: Mapping[str, list[Container | None]]) -> Look:
        readings: dict[str, Reading] = {}
        owners: dict[str, Owner] = {}
        started: dict[str, float] = {}
        networks = {NODE: self._interfaces("self")}
        for pod in pods:
            meta = pod.metadata
            group = cgroup_of(self._manager.config, pod)
            whole = self._cgroups.consumed(group)
            if whole is None:
                continue
            readings[meta.uid] = Reading(*whole)
            owners[meta.uid] = Owner(meta.namespace, meta.name, meta.uid)
            for container in running.get(meta.uid, ()):
                used = self._cgroups.consumed(f"{group}/{container.id}") if container is not None else None
                if container is not None and used is not None:
                    readings[container.id] = Reading(*used)
                    owners[container.id] = Owner(meta.namespace, meta.name, meta.uid, container.name)
                    started[container.id] = seconds(container.started_at)
                    if meta.uid not in networks and not pod.spec.host_network:
                        pids = self._cgroups.processes(f"{group}/{container.id}")
                        if pids and (found := self._interfaces(str(min(pids)))):
                            networks[meta.uid] = found
        cpu, memory = machine.used()
        return Look(self._clock.now().timestamp(), Reading(cpu, memory), readings, owners, started, networks)

    @staticmethod
    def _interfaces(process: str) -> dict[str, Any]:
        """As a process sees them; none of one that has just ended."""
        try:
            return processes.interfaces(Path("/proc", process, "net", "dev").read_text())
        except OSError:
            return {}
