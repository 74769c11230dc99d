"""Keeping the node usable: unused images go, and pods are evicted when nothing else helps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from motet.agent import machine
from motet.agent.config import AgentConfig
from motet.base.clock import Clock
from motet.pods import imagegc
from motet.pods.eviction import Amount
from motet.pods.evictor import EvictionConfig, Evictor
from motet.pods.execute import Tools
from motet.pods.manager import Manager
from motet.pods.measure import Measure
from motet.pods.tidying import DeadContainers, ImageCollector


@dataclass(frozen=True, slots=True)
class Tidy:
    """What runs beside the pods of a node."""

    images: ImageCollector
    evictor: Evictor

    @classmethod
    def of(
        cls,
        config: AgentConfig,
        manager: Manager,
        tools: Tools,
        clock: Clock,
        told: Callable[[], Awaitable[None]],
    ) -> Tidy:
        """Put together for one node; `told` is called when its conditions have changed."""
        image_dir = config.containerd.root if config.runtime_socket is None else config.data_dir
        images = ImageCollector(tools, image_dir, config.images)
        dead = DeadContainers(tools, manager.has_ended)

        async def reclaim() -> None:
            await dead.remove()
            await images.free(imagegc.EVERYTHING)

        evictor = Evictor(
            EvictionConfig(config.thresholds, config.eviction_transition, config.eviction_grace),
            manager,
            Measure(tools, manager.view),
            clock,
            lambda: look(config.data_dir, image_dir),
            reclaim,
            told,
        )
        return cls(images, evictor)


def look(node_dir: Path, image_dir: Path) -> Mapping[str, Amount]:
    """What is left of everything that can run short. Raises OSError."""
    load, node, images = machine.load(), machine.disk(node_dir), machine.disk(image_dir)
    found = {
        "memory.available": Amount(load.memory_available, load.memory),
        "nodefs.available": Amount(node.available, node.capacity),
        "nodefs.inodesFree": Amount(node.inodes_free, node.inodes),
        "imagefs.available": Amount(images.available, images.capacity),
        "imagefs.inodesFree": Amount(images.inodes_free, images.inodes),
        "pid.available": Amount(max(0, load.pids_limit - load.pids), load.pids_limit),
    }
    # Some file systems (btrfs) have no fixed number of files, some kernels tell no limit.
    return {signal: amount for signal, amount in found.items() if amount.capacity > 0}
