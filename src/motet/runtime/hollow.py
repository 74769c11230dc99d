"""A runtime that only remembers: thousands of pods in one process, for scale tests and benchmarks.

Nothing is executed. A container runs until it is stopped, or as long as its annotations say:

    hollow.motet.dev/run-seconds: "1.5"    it ends by itself after so long
    hollow.motet.dev/exit-code: "3"        with this code (default 0)
    hollow.motet.dev/ignores-term: "true"  stopping takes the whole grace period and ends in a kill
    hollow.motet.dev/exec-exit-code: "1"   what every exec in it returns (default 0)

What needs a process to be meaningful (exec and attach streams, port forwarding) is refused, not pretended.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import itertools
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motet.base.clock import Clock, SystemClock
from motet.runtime import images, references
from motet.runtime.interface import (
    Container,
    ContainerConfig,
    ContainerState,
    EventKind,
    ExecResult,
    Image,
    ImageNotFound,
    NoSuchContainer,
    Resources,
    RuntimeEvent,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
)

RUN_SECONDS = "hollow.motet.dev/run-seconds"
EXIT_CODE = "hollow.motet.dev/exit-code"
IGNORES_TERM = "hollow.motet.dev/ignores-term"
EXEC_EXIT_CODE = "hollow.motet.dev/exec-exit-code"

_KILLED, _TERMINATED = 137, 143


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds each operation takes. The defaults are none; `measured` is what containerd with runc was seen to need."""

    run_sandbox: float = 0.0
    stop_sandbox: float = 0.0
    create: float = 0.0
    start: float = 0.0
    stop: float = 0.0
    remove: float = 0.0
    pull: float = 0.0
    execute: float = 0.0

    @classmethod
    def measured(cls) -> Latency:
        return cls(
            run_sandbox=0.09, stop_sandbox=0.05, create=0.01, start=0.07, stop=0.03, remove=0.01, pull=1.0, execute=0.04
        )


class HollowRuntime:
    """A `Runtime` in memory. Pods get addresses from `pod_cidr`, one after the other.

    Every image can be pulled except those in `missing_images`.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        latency: Latency | None = None,
        pod_cidr: str = "10.42.0.0/16",
        missing_images: Collection[str] = (),
    ) -> None:
        self._clock = clock or SystemClock()
        self._latency = latency or Latency()
        network = ipaddress.ip_network(pod_cidr)
        self._network = network
        # The network's own address and the bridge's are not for pods.
        self._offsets = itertools.count(2)
        self._free: list[str] = []
        self._ids = itertools.count(1)
        self._missing = {references.normalise(name) for name in missing_images}
        self._sandboxes: dict[str, Sandbox] = {}
        self._attempts: dict[tuple[str, int], str] = {}
        self._members: dict[str, set[str]] = {}
        self._containers: dict[str, Container] = {}
        self._resources: dict[str, Resources] = {}
        self._images: dict[str, Image] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._listeners: set[asyncio.Queue[RuntimeEvent]] = set()

    async def version(self) -> tuple[str, str]:
        return "hollow", "1"

    async def network_ready(self) -> str:
        return ""

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._timers.values(), return_exceptions=True)
        self._timers.clear()

    # -- sandboxes -----------------------------------------------------------------------------------------------

    async def run_sandbox(self, config: SandboxConfig) -> str:
        await self._clock.sleep(self._latency.run_sandbox)
        attempt = (config.uid, config.attempt)
        if attempt in self._attempts:
            raise RuntimeFailure(
                f"the sandbox of pod {config.namespace}/{config.name} exists: {self._attempts[attempt]}"
            )
        ips = () if config.host_network else (self._take_address(),)
        sandbox_id = self._attempts[attempt] = self._new_id()
        self._members[sandbox_id] = set()
        self._sandboxes[sandbox_id] = Sandbox(
            id=sandbox_id,
            name=config.name,
            namespace=config.namespace,
            uid=config.uid,
            attempt=config.attempt,
            ready=True,
            created_at=self._now(),
            ips=ips,
            labels=config.labels,
            annotations=config.annotations,
        )
        self._tell(EventKind.STARTED, sandbox_id)
        return sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        if sandbox_id not in self._sandboxes:
            return
        await self._clock.sleep(self._latency.stop_sandbox)
        for container_id in self._members.get(sandbox_id, ()):
            self.exit(container_id, _KILLED)
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is not None and sandbox.ready:
            self._free += sandbox.ips
            self._sandboxes[sandbox_id] = replace(sandbox, ready=False, ips=())
            self._tell(EventKind.EXITED, sandbox_id)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        for container_id in list(self._members.get(sandbox_id, ())):
            await self.remove_container(container_id)
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            del self._members[sandbox_id]
            del self._attempts[sandbox.uid, sandbox.attempt]
            self._tell(EventKind.REMOVED, sandbox_id)

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        try:
            return self._sandboxes[sandbox_id]
        except KeyError:
            raise NoSuchContainer(f"there is no sandbox {sandbox_id}", "NotFound") from None

    async def sandboxes(self) -> list[Sandbox]:
        return list(self._sandboxes.values())

    # -- containers ----------------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        await self._clock.sleep(self._latency.create)
        if sandbox_id not in self._sandboxes:
            raise NoSuchContainer(f"there is no sandbox {sandbox_id}", "NotFound")
        image = await self.image(config.image)
        if image is None:
            raise ImageNotFound(f"image {config.image} is not here", "NotFound")
        container_id = self._new_id()
        self._members[sandbox_id].add(container_id)
        self._resources[container_id] = config.resources
        self._containers[container_id] = Container(
            id=container_id,
            sandbox_id=sandbox_id,
            name=config.name,
            attempt=config.attempt,
            state=ContainerState.CREATED,
            created_at=self._now(),
            image=config.image,
            image_ref=image.id,
            labels=config.labels,
            annotations=config.annotations,
            log_path=str(Path(sandbox.log_directory, config.log_path)),
        )
        return container_id

    async def start_container(self, container_id: str) -> None:
        await self._clock.sleep(self._latency.start)
        container = self._get(container_id)
        if container.state is not ContainerState.CREATED:
            raise RuntimeFailure(f"container {container_id} is {container.state}, not created")
        self._containers[container_id] = replace(container, state=ContainerState.RUNNING, started_at=self._now())
        self._tell(EventKind.STARTED, container_id)
        seconds = container.annotations.get(RUN_SECONDS)
        if seconds is not None:
            code = int(container.annotations.get(EXIT_CODE, "0"))
            self._timers[container_id] = asyncio.create_task(self._end_after(container_id, float(seconds), code))

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        container = self._containers.get(container_id)
        if container is None:
            return
        await self._clock.sleep(self._latency.stop)
        if container.annotations.get(IGNORES_TERM) == "true":
            await self._clock.sleep(grace_seconds)
            self.exit(container_id, _KILLED)
        else:
            self.exit(container_id, _TERMINATED if grace_seconds else _KILLED)

    async def remove_container(self, container_id: str) -> None:
        await self._clock.sleep(self._latency.remove)
        self.exit(container_id, _KILLED)
        container = self._containers.pop(container_id, None)
        self._resources.pop(container_id, None)
        if container is not None:
            self._members[container.sandbox_id].discard(container_id)
            self._tell(EventKind.REMOVED, container_id)

    async def container(self, container_id: str) -> Container:
        return self._get(container_id)

    async def containers(self) -> list[Container]:
        return list(self._containers.values())

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        self._get(container_id)
        self._resources[container_id] = resources

    async def resources(self, container_id: str) -> Resources:
        self._get(container_id)
        return self._resources[container_id]

    async def disk_usage(self) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(self._containers, (0, 0))

    async def reopen_log(self, container_id: str) -> None:
        self._get(container_id)

    def exit(self, container_id: str, code: int, *, oom: bool = False) -> None:
        """Let a running container end now; others are left as they are. For tests to call as well."""
        timer = self._timers.pop(container_id, None)
        if timer is not None and timer is not asyncio.current_task():
            timer.cancel()
        container = self._containers.get(container_id)
        if container is None or container.state is not ContainerState.RUNNING:
            return
        reason = "OOMKilled" if oom else "Error" if code else "Completed"
        self._containers[container_id] = replace(
            container, state=ContainerState.EXITED, exit_code=code, finished_at=self._now(), reason=reason
        )
        if oom:
            self._tell(EventKind.OOM, container_id)
        self._tell(EventKind.EXITED, container_id, code)

    # -- running something inside ----------------------------------------------------------------------------------

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        container = self._get(container_id)
        if container.state is not ContainerState.RUNNING:
            raise RuntimeFailure(f"container {container_id} is {container.state}, not running")
        takes = self._latency.execute
        if timeout and takes > timeout:
            await self._clock.sleep(timeout)
            raise TimeoutError(f"command did not end within {timeout:g} s")
        await self._clock.sleep(takes)
        return ExecResult(b"", b"", int(container.annotations.get(EXEC_EXIT_CODE, "0")))

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        raise _unimplemented("exec")

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        raise _unimplemented("attach")

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        raise _unimplemented("port forwarding")

    # -- images --------------------------------------------------------------------------------------------------

    async def image(self, reference: str) -> Image | None:
        if reference.startswith("sha256:"):
            return next((image for image in self._images.values() if image.id == reference), None)
        return self._images.get(references.normalise(reference))

    async def image_config(self, reference: str) -> dict[str, Any] | None:
        return {} if await self.image(reference) is not None else None

    async def images(self) -> list[Image]:
        return list({image.id: image for image in self._images.values()}.values())

    async def pull(self, reference: str, auth: dict[str, str] | None = None) -> str:
        name = references.normalise(reference)
        await self._clock.sleep(self._latency.pull)
        if name in self._missing:
            raise ImageNotFound(f"cannot pull image {reference}: the registry does not have it", "ErrImagePull")
        digest = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
        self._images[name] = Image(id=digest, tags=(name,), digests=(), size=1)
        return digest

    async def import_image(self, archive: str) -> list[str]:
        names = []
        for loaded in await asyncio.to_thread(images.inspect, Path(archive)):
            for name in loaded.names:
                self._images[name] = replace(loaded.image, tags=loaded.names)
                names.append(name)
        return names

    async def remove_image(self, reference: str) -> None:
        image = await self.image(reference)
        if image is None:
            return
        for name in [name for name, one in self._images.items() if one.id == image.id]:
            del self._images[name]

    # -- events --------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        queue: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield RuntimeEvent(EventKind.LOST)
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    def lose_events(self) -> None:
        """Pretend that the stream was interrupted. For tests."""
        for queue in self._listeners:
            queue.put_nowait(RuntimeEvent(EventKind.LOST))

    # -- inside --------------------------------------------------------------------------------------------------

    def _get(self, container_id: str) -> Container:
        try:
            return self._containers[container_id]
        except KeyError:
            raise NoSuchContainer(f"there is no container {container_id}", "NotFound") from None

    def _tell(self, kind: EventKind, container_id: str, code: int = 0) -> None:
        event = RuntimeEvent(kind, container_id, code)
        for queue in self._listeners:
            queue.put_nowait(event)

    async def _end_after(self, container_id: str, seconds: float, code: int) -> None:
        await self._clock.sleep(seconds)
        self.exit(container_id, code)

    def _take_address(self) -> str:
        if self._free:
            return self._free.pop()
        offset = next(self._offsets)
        if offset >= self._network.num_addresses - 1:
            raise RuntimeFailure(f"no address is left in {self._network}", "NoAddress")
        return str(self._network[offset])

    def _new_id(self) -> str:
        return f"{next(self._ids):064x}"

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1e9)


def _unimplemented(what: str) -> RuntimeFailure:
    return RuntimeFailure(f"the hollow runtime runs no processes, so it has no {what}", "Unimplemented")
