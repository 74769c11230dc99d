"""What the runtime has, pod by pod.

One listing serves every pod that asks meanwhile; details of a container are fetched once per state it is in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from motet.pods.model import POD_UID, Observed
from motet.runtime.interface import Container, ContainerState, NoSuchContainer, Runtime, Sandbox

_SETTLED = (ContainerState.RUNNING, ContainerState.EXITED)


class RuntimeView:
    """A shared look at one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._next: asyncio.Task[dict[str, Observed]] | None = None
        self._now: asyncio.Task[dict[str, Observed]] | None = None
        self._details: dict[str, Container] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._owner: dict[str, str] = {}

    def owner(self, container_id: str) -> str:
        """The uid of the pod that a container or sandbox belongs to, as far as it has been seen; else empty."""
        return self._owner.get(container_id, "")

    async def pod(self, uid: str) -> Observed:
        """One pod, with the details of its containers. Raises RuntimeFailure."""
        bare = (await self.everything()).get(uid, Observed())
        sandboxes = [await self._sandbox(sandbox) for sandbox in bare.sandboxes]
        containers = [await self._container(container) for container in bare.containers]
        return Observed(
            tuple(sandbox for sandbox in sandboxes if sandbox is not None),
            tuple(container for container in containers if container is not None),
        )

    async def detailed(self, listed: Container) -> Container | None:
        """A listed container with its details, or None when it has gone meanwhile. Raises RuntimeFailure."""
        return await self._container(listed)

    async def everything(self) -> Mapping[str, Observed]:
        """Every pod in the runtime by uid, without details, from a listing that began after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._list(self._now))
        return await asyncio.shield(self._next)

    async def _list(self, before: asyncio.Task[dict[str, Observed]] | None) -> dict[str, Observed]:
        if before is not None:
            await asyncio.wait([before])
        self._now, self._next = self._next, None
        sandboxes, containers = await asyncio.gather(self._runtime.sandboxes(), self._runtime.containers())
        found: dict[str, tuple[list[Sandbox], list[Container]]] = {}
        owner: dict[str, str] = {}
        for sandbox in sandboxes:
            owner[sandbox.id] = sandbox.uid
            found.setdefault(sandbox.uid, ([], []))[0].append(sandbox)
        for container in containers:
            uid = container.labels.get(POD_UID) or owner.get(container.sandbox_id, "")
            owner[container.id] = uid
            found.setdefault(uid, ([], []))[1].append(container)
        self._owner = owner
        for cache in (self._details, self._sandboxes):
            for gone in [key for key in cache if key not in owner]:
                del cache[gone]
        return {uid: Observed(tuple(boxes), tuple(made)) for uid, (boxes, made) in found.items()}

    async def _container(self, listed: Container) -> Container | None:
        known = self._details.get(listed.id)
        if known is not None and known.state == listed.state and known.state in _SETTLED:
            return known
        try:
            # Only the listing says which sandbox a container is in.
            detailed = replace(await self._runtime.container(listed.id), sandbox_id=listed.sandbox_id)
        except NoSuchContainer:
            return None
        self._details[listed.id] = detailed
        return detailed

    async def _sandbox(self, listed: Sandbox) -> Sandbox | None:
        known = self._sandboxes.get(listed.id)
        if known is not None and known.ready == listed.ready and (known.ips or not known.ready):
            return known
        try:
            detailed = await self._runtime.sandbox(listed.id)
        except NoSuchContainer:
            return None
        self._sandboxes[listed.id] = detailed
        return detailed
