"""Carrying out eviction: look at the node, tell its conditions, free what is the node's own, then end one pod at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from motet.base.clock import Clock
from motet.pods import eviction
from motet.pods.eviction import Amount, Assessment, State, Threshold, Usage
from motet.pods.manager import Manager
from motet.pods.measure import Measure
from motet.pods.spec import Pod
from motet.runtime.interface import RuntimeFailure

_log = logging.getLogger("motet.pods.eviction")
_LOOK_EVERY = 10.0
# Looking at pods' disks may take at most this share of the time.
_DISK_SHARE = 0.05
_GONE_WITHIN = 30.0
# What a pod is given when there is no time to lose, in seconds.
_HARD_GRACE = 1


@dataclass(frozen=True, slots=True)
class EvictionConfig:
    """Seconds. `most_grace`: the longest a pod is given when there is time."""

    thresholds: Sequence[Threshold] = eviction.DEFAULTS
    transition: float = 300.0
    most_grace: int = 0


class Evictor:
    """One node's. `look` says what is left; `reclaim` frees disk without ending pods; `told` hears of changed conditions."""

    def __init__(
        self,
        config: EvictionConfig,
        manager: Manager,
        measure: Measure,
        clock: Clock,
        look: Callable[[], Mapping[str, Amount]],
        reclaim: Callable[[], Awaitable[None]],
        told: Callable[[], Awaitable[None]],
    ) -> None:
        self._config = config
        self._manager = manager
        self._measure = measure
        self._clock = clock
        self._look = look
        self._reclaim = reclaim
        self._told = told
        self._state = State()
        self._disk_at = float("-inf")

    async def run(self) -> None:
        """Look every ten seconds until cancelled."""
        while True:
            try:
                await self.turn()
            except (RuntimeFailure, OSError) as error:
                _log.warning("what the node has left was not looked at: %s", error)
            await self._clock.sleep(_LOOK_EVERY)

    async def turn(self) -> None:
        """One look, and what follows from it. Raises RuntimeFailure, OSError."""
        await self._limits()
        found = await self._assess()
        if found.short is None:
            return
        if found.short.condition == "DiskPressure":
            await self._reclaim()
            found = await self._assess()
        if found.short is not None:
            await self._evict_one(found.short, found.left)

    async def _assess(self) -> Assessment:
        amounts = await asyncio.to_thread(self._look)
        now = self._clock.now().timestamp()
        config = self._config
        found = eviction.assess(config.thresholds, amounts, self._state, now, config.transition)
        self._state = found.state
        if found.pressures != self._manager.pressures:
            _log.warning("conditions of the node: %s", ", ".join(sorted(found.pressures)) or "none")
            self._manager.pressures = found.pressures
            await self._told()
        return found

    async def _evict_one(self, short: Threshold, left: Amount) -> None:
        measured = await self._measure.pods(self._manager.running(), disk=short.condition == "DiskPressure")
        ranked = eviction.rank(short.resource, measured)
        if not ranked:
            _log.warning("the node is low on %s and has no pod that could be evicted", short.resource)
            return
        pod, usage = ranked[0]
        grace = _HARD_GRACE if short.hard else min(self._config.most_grace, pod.grace)
        _log.warning("evicting pod %s: the node is low on %s", pod.address, short.resource)
        self._manager.evict(pod.metadata.uid, eviction.words(pod, usage, short, left), grace)
        await self._until_ended(pod, grace + _GONE_WITHIN)

    async def _until_ended(self, pod: Pod, seconds: float) -> None:
        """What it had is only free when it has ended."""
        until = self._clock.monotonic() + seconds
        while self._clock.monotonic() < until:
            if all(held.metadata.uid != pod.metadata.uid for held in self._manager.running()):
                return
            await self._clock.sleep(0.5)

    async def _limits(self) -> None:
        """Pods that use more of the disk than they may are ended, pressure or not."""
        limited = [pod for pod in self._manager.running() if eviction.has_limits(pod)]
        if not limited or self._clock.monotonic() < self._disk_at:
            return
        began = self._clock.monotonic()
        measured: list[tuple[Pod, Usage]] = await self._measure.pods(limited, disk=True)
        took = self._clock.monotonic() - began
        self._disk_at = began + took / _DISK_SHARE
        for pod, usage in measured:
            if message := eviction.over_limits(pod, usage):
                _log.warning("evicting pod %s: %s", pod.address, message.strip())
                self._manager.evict(pod.metadata.uid, message, _HARD_GRACE)
