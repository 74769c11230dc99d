"""Clearing away what a node does not need: images nobody uses, and, when the disk is full, containers of ended pods."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from motet.pods import imagegc, logs
from motet.pods.execute import Tools
from motet.pods.imagegc import Memory, Policy
from motet.runtime import pause
from motet.runtime.interface import ContainerState, RuntimeFailure

_log = logging.getLogger("motet.pods.tidying")
_LOOK_EVERY = 300.0


class ImageCollector:
    """The images of one node; `directory` is on the file system they are kept on."""

    def __init__(self, tools: Tools, directory: Path, policy: Policy) -> None:
        self._tools = tools
        self._directory = directory
        self._policy = policy
        self._memory = Memory()

    async def run(self) -> None:
        """Look every five minutes until cancelled."""
        while True:
            try:
                usage = shutil.disk_usage(self._directory)
                await self.free(imagegc.to_free(usage.total, usage.free, self._policy))
            except (RuntimeFailure, OSError) as error:
                _log.warning("unused images not looked at: %s", error)
            await self._tools.clock.sleep(_LOOK_EVERY)

    async def free(self, wanted: int) -> int:
        """Remove unused images until about `wanted` bytes are free; returns the bytes. Raises RuntimeFailure."""
        runtime, now = self._tools.runtime, self._tools.clock.now().timestamp()
        images = await runtime.images()
        named = {name for made in await runtime.containers() for name in (made.image, made.image_ref)}
        in_use = {image.id for image in images if named & {image.id, *image.tags, *image.digests}}
        self._memory = self._memory.after(images, in_use, now)
        spared = {pause.REFERENCE}
        freed = 0
        for image in imagegc.choose(images, in_use, spared, self._memory, wanted, now, self._policy):
            _log.info("removing image %s: not used", ", ".join(image.tags) or image.id)
            await runtime.remove_image(image.id)
            freed += image.size
        return freed


class DeadContainers:
    """Containers that are kept only for their logs."""

    def __init__(self, tools: Tools, ended: Callable[[str], bool]) -> None:
        self._tools = tools
        self._ended = ended

    async def remove(self) -> int:
        """Those of pods that have ended (`ended(uid)`); how many. Raises RuntimeFailure."""
        runtime, removed = self._tools.runtime, 0
        owners = {sandbox.id: sandbox.uid for sandbox in await runtime.sandboxes()}
        for made in await runtime.containers():
            if made.state is ContainerState.EXITED and self._ended(owners.get(made.sandbox_id, "")):
                path = (await runtime.container(made.id)).log_path
                await runtime.remove_container(made.id)
                if path:
                    logs.remove(path)
                removed += 1
        return removed
