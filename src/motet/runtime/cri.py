"""The runtime over CRI v1 (k8s.io/cri-api), as containerd 1.6 and later serve it.

A thin translation: Motet's words in, CRI messages out, gRPC errors turned into `RuntimeFailure` and its kin at this
edge. Stopping and removing what is not there succeeds, because every caller would ignore that error. Three things
are more than translation: execs are capped per pod (more than about sixteen at once stall its shim for many
seconds), events are held back until CRI's own answers agree with them, and imports wait until CRI sees the image.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec
from cri_api.v1 import api_pb2

from motet.base.clock import Clock, SystemClock
from motet.runtime import channel, convert, events, images, imagestore
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
    RuntimeUnavailable,
    Sandbox,
    SandboxConfig,
)

# The generated messages are dynamic; typing them would type nothing.
api: Any = api_pb2

EXECS_PER_SANDBOX = 8
_CALL_SECONDS = 120.0
_QUICK_SECONDS = 20.0
# How long an exit may take to reach CRI's own books before it is reported anyway.
_SETTLE_SECONDS = 10.0


class CriRuntime:
    """A `Runtime` on the CRI socket at path `socket`. Needs a running event loop when first used."""

    def __init__(self, socket: str | Path, *, clock: Clock | None = None) -> None:
        self._socket = str(socket)
        self._clock = clock or SystemClock()
        self._channel: Any = None
        self._calls: dict[str, Any] = {}
        self._sandbox_of: dict[str, str] = {}
        self._execs: dict[str, asyncio.Semaphore] = {}
        self.events_lag = events.Lag()

    def _dial(self) -> Any:
        if self._channel is None:
            self._channel = channel.dial(self._socket)
        return self._channel

    async def _call(
        self,
        method: str,
        request: Any,
        doing: str,
        *,
        timeout: float | None = _CALL_SECONDS,
        missing: type[RuntimeFailure] = NoSuchContainer,
    ) -> Any:
        """Send `request` to `RuntimeService/X` or `ImageService/X`; its response class follows from CRI's naming."""
        call = self._calls.get(method)
        if call is None:
            name = method.rpartition("/")[2]
            call = self._calls[method] = self._dial().unary_unary(
                f"/runtime.v1.{method}",
                request_serializer=getattr(api, f"{name}Request").SerializeToString,
                response_deserializer=getattr(api, f"{name}Response").FromString,
            )
        try:
            return await call(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise channel.failure(error, doing, missing=missing) from error

    # -- the runtime itself --------------------------------------------------------------------------------------

    async def version(self) -> tuple[str, str]:
        answer = await self._call(
            "RuntimeService/Version", api.VersionRequest(), "ask the version", timeout=_QUICK_SECONDS
        )
        return answer.runtime_name, answer.runtime_version

    async def network_ready(self) -> str:
        answer = await self._call(
            "RuntimeService/Status", api.StatusRequest(), "ask the status", timeout=_QUICK_SECONDS
        )
        for condition in answer.status.conditions:
            if condition.type == "NetworkReady" and not condition.status:
                return str(condition.message or condition.reason or "network is not ready")
        return ""

    async def image_usage(self) -> int:
        """Bytes that images and their snapshots take."""
        answer = await self._call(
            "ImageService/ImageFsInfo", api.ImageFsInfoRequest(), "ask the disk usage of images", timeout=_QUICK_SECONDS
        )
        return sum(usage.used_bytes.value for usage in answer.image_filesystems)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
            self._calls.clear()

    # -- sandboxes -----------------------------------------------------------------------------------------------

    async def run_sandbox(self, config: SandboxConfig) -> str:
        request = api.RunPodSandboxRequest(config=convert.sandbox_config(config), runtime_handler=config.handler)
        answer = await self._call(
            "RuntimeService/RunPodSandbox", request, f"start the sandbox of pod {config.namespace}/{config.name}"
        )
        return str(answer.pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        request = api.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        with contextlib.suppress(NoSuchContainer):
            await self._call("RuntimeService/StopPodSandbox", request, f"stop sandbox {sandbox_id}")

    async def remove_sandbox(self, sandbox_id: str) -> None:
        request = api.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        with contextlib.suppress(NoSuchContainer):
            await self._call("RuntimeService/RemovePodSandbox", request, f"remove sandbox {sandbox_id}")
        self._execs.pop(sandbox_id, None)
        for container_id in [key for key, owner in self._sandbox_of.items() if owner == sandbox_id]:
            del self._sandbox_of[container_id]

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        request = api.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        answer = await self._call("RuntimeService/PodSandboxStatus", request, f"look at sandbox {sandbox_id}")
        return convert.sandbox_status(answer.status)

    async def sandboxes(self) -> list[Sandbox]:
        answer = await self._call(
            "RuntimeService/ListPodSandbox", api.ListPodSandboxRequest(), "list sandboxes", timeout=_QUICK_SECONDS
        )
        return [convert.sandbox(item) for item in answer.items]

    # -- containers ----------------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        request = api.CreateContainerRequest(
            pod_sandbox_id=sandbox_id,
            config=convert.container_config(config, sandbox),
            sandbox_config=convert.sandbox_config(sandbox),
        )
        doing = f"create container {config.name} of pod {sandbox.namespace}/{sandbox.name}"
        try:
            answer = await self._call("RuntimeService/CreateContainer", request, doing)
        except NoSuchContainer as error:
            if await self.image(config.image) is None:
                raise ImageNotFound(str(error), "NotFound") from error
            raise
        self._sandbox_of[answer.container_id] = sandbox_id
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        request = api.StartContainerRequest(container_id=container_id)
        try:
            await self._call("RuntimeService/StartContainer", request, f"start container {container_id}")
        except NoSuchContainer as error:
            # "Not found" also is what a missing command is called.
            await self.container(container_id)
            raise RuntimeFailure(str(error), "StartError") from error

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        request = api.StopContainerRequest(container_id=container_id, timeout=grace_seconds)
        with contextlib.suppress(NoSuchContainer):
            if grace_seconds and await self._ended_by_own_signal(container_id, grace_seconds):
                return
            await self._call(
                "RuntimeService/StopContainer",
                request,
                f"stop container {container_id}",
                timeout=grace_seconds + _CALL_SECONDS,
            )

    async def _ended_by_own_signal(self, container_id: str, grace_seconds: int) -> bool:
        """Whether the container has a stop signal of its own and ended of it (or was killed for not ending)."""
        request = api.ContainerStatusRequest(container_id=container_id, verbose=True)
        answer = await self._call("RuntimeService/ContainerStatus", request, f"look at container {container_id}")
        number = answer.status.annotations.get(convert.STOP_SIGNAL)
        if not number or answer.status.state != api.CONTAINER_RUNNING:
            return False
        pid = msgspec.json.decode(answer.info.get("info", "{}")).get("pid", 0)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, int(number))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._until_known(container_id)
                return True
        await self._call(
            "RuntimeService/StopContainer",
            api.StopContainerRequest(container_id=container_id, timeout=0),
            f"kill container {container_id}",
        )
        return True

    async def remove_container(self, container_id: str) -> None:
        request = api.RemoveContainerRequest(container_id=container_id)
        with contextlib.suppress(NoSuchContainer):
            await self._call("RuntimeService/RemoveContainer", request, f"remove container {container_id}")
        self._sandbox_of.pop(container_id, None)

    async def container(self, container_id: str) -> Container:
        request = api.ContainerStatusRequest(container_id=container_id)
        answer = await self._call("RuntimeService/ContainerStatus", request, f"look at container {container_id}")
        return convert.container_status(answer.status, await self._find_sandbox(container_id))

    async def containers(self) -> list[Container]:
        answer = await self._call(
            "RuntimeService/ListContainers", api.ListContainersRequest(), "list containers", timeout=_QUICK_SECONDS
        )
        found = [convert.container(item) for item in answer.containers]
        self._sandbox_of = {container.id: container.sandbox_id for container in found}
        return found

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        request = api.UpdateContainerResourcesRequest(container_id=container_id, linux=convert.resources(resources))
        await self._call(
            "RuntimeService/UpdateContainerResources", request, f"change the resources of container {container_id}"
        )

    async def resources(self, container_id: str) -> Resources:
        # CRI's own field is filled only since containerd 1.7; the OCI specification is kept current by every version.
        request = api.ContainerStatusRequest(container_id=container_id, verbose=True)
        answer = await self._call("RuntimeService/ContainerStatus", request, f"look at container {container_id}")
        return convert.resources_of(msgspec.json.decode(answer.info.get("info", "{}")).get("runtimeSpec") or {})

    async def disk_usage(self) -> dict[str, tuple[int, int]]:
        answer = await self._call(
            "RuntimeService/ListContainerStats", api.ListContainerStatsRequest(), "ask what containers have written"
        )
        return {
            item.attributes.id: (item.writable_layer.used_bytes.value, item.writable_layer.inodes_used.value)
            for item in answer.stats
        }

    async def reopen_log(self, container_id: str) -> None:
        request = api.ReopenContainerLogRequest(container_id=container_id)
        await self._call("RuntimeService/ReopenContainerLog", request, f"reopen the log of container {container_id}")

    async def _find_sandbox(self, container_id: str) -> str:
        """The sandbox of a container; CRI's status does not say, its list does."""
        known = self._sandbox_of.get(container_id)
        if known is not None:
            return known
        request = api.ListContainersRequest(filter=api.ContainerFilter(id=container_id))
        answer = await self._call(
            "RuntimeService/ListContainers", request, f"look for container {container_id}", timeout=_QUICK_SECONDS
        )
        if not answer.containers:
            raise NoSuchContainer(f"there is no container {container_id}", "NotFound")
        return self._sandbox_of.setdefault(container_id, str(answer.containers[0].pod_sandbox_id))

    # -- running something inside ----------------------------------------------------------------------------------

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run to the end, at most eight at a time per pod. `timeout` counts from the start of the command."""
        sandbox_id = await self._find_sandbox(container_id)
        slots = self._execs.setdefault(sandbox_id, asyncio.Semaphore(EXECS_PER_SANDBOX))
        # CRI counts whole seconds; the client's own deadline, which cancels the exec, is exact.
        request = api.ExecSyncRequest(container_id=container_id, cmd=list(command), timeout=math.ceil(timeout))
        async with slots:
            try:
                answer = await self._call(
                    "RuntimeService/ExecSync",
                    request,
                    f"run {command[0] if command else 'nothing'} in container {container_id}",
                    timeout=timeout or None,
                )
            except RuntimeFailure as error:
                if error.reason == "DeadlineExceeded":
                    raise TimeoutError(f"command did not end within {timeout:g} s") from error
                raise
        return ExecResult(answer.stdout, answer.stderr, answer.exit_code)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        request = api.ExecRequest(
            container_id=container_id, cmd=list(command), stdin=stdin, stdout=stdout, stderr=stderr and not tty, tty=tty
        )
        answer = await self._call("RuntimeService/Exec", request, f"open an exec in container {container_id}")
        return str(answer.url)

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        request = api.AttachRequest(
            container_id=container_id, stdin=stdin, stdout=stdout, stderr=stderr and not tty, tty=tty
        )
        answer = await self._call("RuntimeService/Attach", request, f"attach to container {container_id}")
        return str(answer.url)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        request = api.PortForwardRequest(pod_sandbox_id=sandbox_id, port=list(ports))
        answer = await self._call("RuntimeService/PortForward", request, f"forward ports of sandbox {sandbox_id}")
        return str(answer.url)

    # -- images --------------------------------------------------------------------------------------------------

    async def image(self, reference: str) -> Image | None:
        request = api.ImageStatusRequest(image=api.ImageSpec(image=reference))
        answer = await self._call("ImageService/ImageStatus", request, f"look for image {reference}")
        return convert.image(answer.image) if answer.HasField("image") else None

    async def images(self) -> list[Image]:
        answer = await self._call("ImageService/ListImages", api.ListImagesRequest(), "list images")
        return [convert.image(item) for item in answer.images]

    async def image_config(self, reference: str) -> dict[str, Any] | None:
        found = await self.image(reference)
        if found is None:
            return None
        # CRI's own answer leaves out what is not the OCI's. An image's id is its configuration's digest.
        whole = msgspec.json.decode(await self.image_store().read(found.id), type=dict[str, Any])
        config = whole.get("config")
        return config if isinstance(config, dict) else {}

    async def pull(self, reference: str, auth: dict[str, str] | None = None) -> str:
        """Pull `reference`. `auth` may hold username and password, auth (base64 of both), identity_token or
        registry_token. Raises ImageNotFound (missing or refused), RuntimeFailure with reason RegistryUnavailable
        or InvalidImageName, RuntimeUnavailable.
        """
        request = api.PullImageRequest(image=api.ImageSpec(image=reference), auth=convert.auth(auth))
        call = self._dial().unary_unary(
            "/runtime.v1.ImageService/PullImage",
            request_serializer=api.PullImageRequest.SerializeToString,
            response_deserializer=api.PullImageResponse.FromString,
        )
        try:
            answer = await call(request, timeout=None)
        except grpc.aio.AioRpcError as error:
            raise channel.pull_failure(error, reference) from error
        return str(answer.image_ref)

    async def import_image(self, archive: str, *, labels: Mapping[str, str] | None = None) -> list[str]:
        """Load a tar file; `labels` go on containerd's image records. Raises RuntimeFailure (InvalidImage)."""
        names = await images.Importer(self._dial()).load(Path(archive), labels=labels)
        async with asyncio.timeout(_QUICK_SECONDS):
            for name in names:
                while await self.image(name) is None:
                    await self._clock.sleep(0.02)
        return names

    def image_store(self) -> imagestore.ImageStore:
        """The same images as containerd itself keeps them."""
        return imagestore.ImageStore(self._dial())

    async def remove_image(self, reference: str) -> None:
        request = api.RemoveImageRequest(image=api.ImageSpec(image=reference))
        with contextlib.suppress(ImageNotFound):
            await self._call("ImageService/RemoveImage", request, f"remove image {reference}", missing=ImageNotFound)

    # -- events --------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        """LOST first (whatever happened before was not seen), then events as they come.

        containerd announces an exit a moment before CRI has written it down, so an exit is held back until asking
        about the container gives the same answer; events of other containers overtake it meanwhile.
        """
        ready: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        held: set[asyncio.Task[None]] = set()

        async def settle(event: RuntimeEvent) -> None:
            with contextlib.suppress(TimeoutError, RuntimeFailure):
                async with asyncio.timeout(_SETTLE_SECONDS):
                    await self._until_known(event.container_id)
            ready.put_nowait(event)

        async def pump() -> None:
            async for event in events.subscribe(self._dial(), clock=self._clock, lag=self.events_lag):
                if event.kind is EventKind.EXITED:
                    task = asyncio.create_task(settle(event))
                    held.add(task)
                    task.add_done_callback(held.discard)
                else:
                    ready.put_nowait(event)

        pumping = asyncio.create_task(pump())
        try:
            while True:
                getting = asyncio.create_task(ready.get())
                await asyncio.wait((getting, pumping), return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    pumping.result()
                    return
                yield getting.result()
        finally:
            for task in (pumping, *held):
                task.cancel()
            await asyncio.gather(pumping, *held, return_exceptions=True)

    async def _until_known(self, container_id: str) -> None:
        """Return when CRI has it on its books that `container_id` (a container or a sandbox) ended.

        A container that ends at once may do so before CRI calls it running, so anything but ended is waited for.
        """
        pause = 0.001
        while True:
            try:
                state = (await self.container(container_id)).state
                ended = state not in (ContainerState.CREATED, ContainerState.RUNNING)
            except RuntimeUnavailable:
                # Restarting; it reads its books again before it answers.
                ended = False
            except NoSuchContainer:
                try:
                    ended = not (await self.sandbox(container_id)).ready
                except NoSuchContainer:
                    return
            if ended:
                return
            await self._clock.sleep(pause)
            pause = min(pause * 2, 0.1)
