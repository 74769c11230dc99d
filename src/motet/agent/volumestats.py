"""What the volumes of each pod hold, for the kubelet's summary (`PodStats.volume`).

Drivers of CSI are asked. A volume with a file system of its own is what that says; of a directory that shares one it is what lies
below it, which costs as much to find out as there is in it: hence a figure is good for a minute, as the kubelet's is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from motet.agent import machine
from motet.base.clock import Clock
from motet.pods.execute import Tools
from motet.pods.measure import space_of
from motet.pods.spec import Pod, Volume
from motet.pods.volumes import claim_name
from motet.runtime.csi import Usage

Json = dict[str, Any]

_GOOD_FOR = 60.0


class VolumeStats:
    """Of one node."""

    def __init__(self, tools: Tools, clock: Clock) -> None:
        self._volumes = tools.volumes
        self._clock = clock
        self._known: dict[str, tuple[float, list[Json]]] = {}

    async def of(self, pods: Iterable[Pod]) -> Mapping[str, list[Json]]:
        """By the pods' uids, in the kubelet's form but for the time. What cannot be looked at is left out."""
        pods = list(pods)
        self._known = {pod.metadata.uid: known for pod in pods if (known := self._known.get(pod.metadata.uid))}
        now = self._clock.monotonic()
        for pod in pods:
            at, _ = self._known.get(pod.metadata.uid, (float("-inf"), []))
            if now - at >= _GOOD_FOR:
                self._known[pod.metadata.uid] = (now, await self._look(pod))
        return {uid: found for uid, (_, found) in self._known.items()}

    async def _look(self, pod: Pod) -> list[Json]:
        uid, namespace = pod.metadata.uid, pod.metadata.namespace
        told = {each.volume: _entry(each.volume, each.claim, namespace, _driver(each.usage))
                for each in await self._volumes.usage(uid)}  # fmt: skip
        volumes = [volume for volume in pod.spec.volumes or () if volume.name not in told and _counts(pod, volume)]
        seen = await asyncio.to_thread(lambda: [self._directory(pod, volume) for volume in volumes])
        return [*told.values(), *(each for each in seen if each is not None)]

    def _directory(self, pod: Pod, volume: Volume) -> Json | None:
        path = self._volumes.at(pod, volume.name)
        try:
            return _entry(
                volume.name, claim_name(pod, volume), pod.metadata.namespace, _held(path.resolve(strict=True))
            )
        except OSError:
            return None


def _counts(pod: Pod, volume: Volume) -> bool:
    """Paths of the node are the node's, and volumes of drivers the drivers' own."""
    return volume.host_path is None and volume.csi is None


def _held(path: Path) -> Json:
    """Raises OSError."""
    whole = machine.disk(path)
    own = path.stat().st_dev != path.parent.stat().st_dev
    space = None if own else space_of(path)
    return {
        "capacityBytes": whole.capacity,
        "availableBytes": whole.available,
        "usedBytes": space.size if space is not None else whole.capacity - whole.available,
        "inodes": whole.inodes,
        "inodesFree": whole.inodes_free,
        "inodesUsed": space.inodes if space is not None else whole.inodes - whole.inodes_free,
    }


def _driver(usage: Usage) -> Json:
    return {
        "capacityBytes": usage.total_bytes,
        "availableBytes": usage.available_bytes,
        "usedBytes": usage.used_bytes,
        "inodes": usage.inodes,
        "inodesFree": usage.inodes_free,
        "inodesUsed": usage.inodes_used,
    }


def _entry(name: str, claim: str, namespace: str, figures: Json) -> Json:
    made: Json = {"name": name, **{key: value for key, value in figures.items() if value is not None}}
    if claim:
        made["pvcRef"] = {"name": claim, "namespace": namespace}
    return made
