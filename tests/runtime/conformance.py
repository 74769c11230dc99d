"""What every runtime must do. A subclass gives a `subject`; the tests are inherited."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from motet.runtime.interface import (
    ContainerConfig,
    ContainerState,
    EventKind,
    ImageNotFound,
    NoSuchContainer,
    Resources,
    Runtime,
    RuntimeEvent,
    RuntimeFailure,
    SandboxConfig,
)

PATIENCE = 20.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `condition()` holds, looking often."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


class Subject(ABC):
    """A runtime under test and how to ask it for containers of a given behaviour."""

    runtime: Runtime
    image: str

    @abstractmethod
    def sandbox(self, name: str = "pod") -> SandboxConfig: ...

    @abstractmethod
    def lasting(self, name: str = "main") -> ContainerConfig:
        """Runs until told to stop, and stops at once then."""

    @abstractmethod
    def ending(self, code: int) -> ContainerConfig:
        """Ends at once with `code`."""

    @abstractmethod
    def stubborn(self) -> ContainerConfig:
        """Ignores being told to stop."""

    async def started(self, config: ContainerConfig | None = None, pod: str = "pod") -> tuple[str, str]:
        """(sandbox id, container id) of a new pod with one running container."""
        sandbox = self.sandbox(pod)
        sandbox_id = await self.runtime.run_sandbox(sandbox)
        container_id = await self.runtime.create_container(sandbox_id, config or self.lasting(), sandbox)
        await self.runtime.start_container(container_id)
        return sandbox_id, container_id

    async def exited(self, container_id: str) -> int:
        """Wait for the end of a container; returns its exit code."""

        async def ended() -> bool:
            return (await self.runtime.container(container_id)).state is ContainerState.EXITED

        await until(ended)
        return (await self.runtime.container(container_id)).exit_code

    async def clear(self) -> None:
        for sandbox in await self.runtime.sandboxes():
            await self.runtime.remove_sandbox(sandbox.id)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[list[RuntimeEvent]]:
        """A list that grows with every event; the stream stands when this is entered."""
        seen: list[RuntimeEvent] = []

        async def listen() -> None:
            async for event in self.runtime.events():
                seen.append(event)

        task = asyncio.create_task(listen())
        try:
            await self.saw(seen, EventKind.LOST)
            yield seen
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def saw(self, seen: list[RuntimeEvent], kind: EventKind, container_id: str = "") -> RuntimeEvent:
        def find() -> RuntimeEvent | None:
            return next((event for event in seen if (event.kind, event.container_id) == (kind, container_id)), None)

        async def found() -> bool:
            return find() is not None

        await until(found)
        event = find()
        assert event is not None
        return event


class RuntimeConformance:
    async def test_it_says_what_it_is(self, subject: Subject) -> None:
        name, version = await subject.runtime.version()
        assert name
        assert version

    async def test_pods_can_get_addresses(self, subject: Subject) -> None:
        assert await subject.runtime.network_ready() == ""

    async def test_a_sandbox_is_found_again_as_it_was_asked_for(self, subject: Subject) -> None:
        config = dataclasses.replace(subject.sandbox(), labels={"a": "b"}, annotations={"c": "d"})
        sandbox_id = await subject.runtime.run_sandbox(config)
        sandbox = await subject.runtime.sandbox(sandbox_id)
        assert sandbox.ready
        assert (sandbox.name, sandbox.namespace, sandbox.uid) == (config.name, config.namespace, config.uid)
        assert (sandbox.labels, sandbox.annotations) == ({"a": "b"}, {"c": "d"})
        assert [one.id for one in await subject.runtime.sandboxes()] == [sandbox_id]

    async def test_every_pod_has_an_address_of_its_own(self, subject: Subject) -> None:
        ids = [await subject.runtime.run_sandbox(subject.sandbox(f"pod{number}")) for number in range(2)]
        addresses = [(await subject.runtime.sandbox(sandbox_id)).ips for sandbox_id in ids]
        assert all(len(ips) == 1 for ips in addresses)
        assert addresses[0] != addresses[1]

    async def test_a_second_sandbox_for_the_same_attempt_is_refused(self, subject: Subject) -> None:
        await subject.runtime.run_sandbox(subject.sandbox())
        with pytest.raises(RuntimeFailure):
            await subject.runtime.run_sandbox(subject.sandbox())

    async def test_a_stopped_sandbox_is_not_ready_and_its_containers_are_gone(self, subject: Subject) -> None:
        sandbox_id, container_id = await subject.started()
        await subject.runtime.stop_sandbox(sandbox_id)
        assert not (await subject.runtime.sandbox(sandbox_id)).ready
        assert (await subject.runtime.container(container_id)).state is ContainerState.EXITED

    async def test_a_container_is_created_then_running(self, subject: Subject) -> None:
        config = subject.sandbox()
        sandbox_id = await subject.runtime.run_sandbox(config)
        wanted = dataclasses.replace(subject.lasting(), labels={"x": "y"}, attempt=3)
        container_id = await subject.runtime.create_container(sandbox_id, wanted, config)
        created = await subject.runtime.container(container_id)
        assert created.state is ContainerState.CREATED
        assert (created.name, created.attempt, created.labels) == (wanted.name, 3, {"x": "y"})
        assert created.sandbox_id == sandbox_id
        await subject.runtime.start_container(container_id)
        running = await subject.runtime.container(container_id)
        assert running.state is ContainerState.RUNNING
        assert abs(running.started_at - time.time_ns()) < 60e9
        (listed,) = await subject.runtime.containers()
        assert (listed.id, listed.state, listed.sandbox_id) == (container_id, ContainerState.RUNNING, sandbox_id)

    @pytest.mark.parametrize(("code", "reason"), [(0, "Completed"), (7, "Error")])
    async def test_an_ended_container_says_how_it_ended(self, subject: Subject, code: int, reason: str) -> None:
        _, container_id = await subject.started(subject.ending(code))
        assert await subject.exited(container_id) == code
        container = await subject.runtime.container(container_id)
        assert container.reason == reason
        assert container.finished_at >= container.started_at > 0

    async def test_a_container_that_listens_is_stopped_at_once(self, subject: Subject) -> None:
        _, container_id = await subject.started()
        async with asyncio.timeout(10):
            await subject.runtime.stop_container(container_id, 60)
        assert (await subject.runtime.container(container_id)).state is ContainerState.EXITED

    async def test_a_container_that_does_not_listen_is_killed_after_the_grace_period(self, subject: Subject) -> None:
        _, container_id = await subject.started(subject.stubborn())
        began = time.monotonic()
        await subject.runtime.stop_container(container_id, 1)
        assert time.monotonic() - began >= 0.9
        assert await subject.exited(container_id) == 137

    async def test_without_grace_a_container_is_killed_at_once(self, subject: Subject) -> None:
        _, container_id = await subject.started()
        await subject.runtime.stop_container(container_id, 0)
        assert await subject.exited(container_id) == 137

    async def test_stopping_and_removing_can_be_repeated(self, subject: Subject) -> None:
        sandbox_id, container_id = await subject.started()
        for _ in range(2):
            await subject.runtime.stop_container(container_id, 1)
        for _ in range(2):
            await subject.runtime.remove_container(container_id)
        for _ in range(2):
            await subject.runtime.stop_sandbox(sandbox_id)
        for _ in range(2):
            await subject.runtime.remove_sandbox(sandbox_id)
        await subject.runtime.stop_container(container_id, 1)
        await subject.runtime.stop_sandbox(sandbox_id)
        assert await subject.runtime.sandboxes() == []
        assert await subject.runtime.containers() == []

    async def test_what_is_not_there_is_reported_as_such(self, subject: Subject) -> None:
        with pytest.raises(NoSuchContainer):
            await subject.runtime.container("0" * 64)
        with pytest.raises(NoSuchContainer):
            await subject.runtime.sandbox("0" * 64)
        with pytest.raises(NoSuchContainer):
            await subject.runtime.start_container("0" * 64)
        with pytest.raises(NoSuchContainer):
            await subject.runtime.exec_sync("0" * 64, ["true"], 1)

    async def test_a_container_needs_its_image(self, subject: Subject) -> None:
        config = subject.sandbox()
        sandbox_id = await subject.runtime.run_sandbox(config)
        lacking = dataclasses.replace(subject.lasting(), image="localhost/motet-test/absent:1")
        with pytest.raises(ImageNotFound):
            await subject.runtime.create_container(sandbox_id, lacking, config)

    @pytest.mark.parametrize("memory", [64, 24])
    async def test_limits_are_known_as_they_were_made_and_as_they_were_changed(
        self, subject: Subject, memory: int
    ) -> None:
        made = Resources(cpu_shares=256, cpu_quota=20_000, memory_limit=32 << 20)
        _, container_id = await subject.started(dataclasses.replace(subject.lasting(), resources=made))
        assert await subject.runtime.resources(container_id) == made
        changed = Resources(cpu_shares=512, cpu_quota=50_000, memory_limit=memory << 20)
        await subject.runtime.update_resources(container_id, changed)
        assert await subject.runtime.resources(container_id) == changed

    async def test_what_containers_have_written_is_known_of_each(self, subject: Subject) -> None:
        _, container_id = await subject.started()
        written, inodes = (await subject.runtime.disk_usage())[container_id]
        assert written >= 0
        assert inodes >= 0

    async def test_a_started_container_is_not_started_twice(self, subject: Subject) -> None:
        _, container_id = await subject.started()
        with pytest.raises(RuntimeFailure):
            await subject.runtime.start_container(container_id)

    async def test_a_command_can_be_run_inside(self, subject: Subject) -> None:
        _, container_id = await subject.started()
        assert (await subject.runtime.exec_sync(container_id, ["true"], 10)).exit_code == 0

    async def test_no_command_runs_in_an_ended_container(self, subject: Subject) -> None:
        _, container_id = await subject.started(subject.ending(0))
        await subject.exited(container_id)
        with pytest.raises(RuntimeFailure):
            await subject.runtime.exec_sync(container_id, ["true"], 10)

    async def test_starts_and_exits_are_announced(self, subject: Subject) -> None:
        async with subject.listening() as seen:
            _, container_id = await subject.started(subject.ending(5))
            await subject.saw(seen, EventKind.STARTED, container_id)
            assert (await subject.saw(seen, EventKind.EXITED, container_id)).exit_code == 5

    async def test_an_announced_exit_is_already_in_the_books(self, subject: Subject) -> None:
        sandbox = subject.sandbox()
        sandbox_id = await subject.runtime.run_sandbox(sandbox)
        stale = []
        for number in range(5):
            config = dataclasses.replace(subject.ending(0), name=f"c{number}")
            container_id = await subject.runtime.create_container(sandbox_id, config, sandbox)
            stream = subject.runtime.events()
            await anext(stream)
            await subject.runtime.start_container(container_id)
            async for event in stream:
                if event.kind is EventKind.EXITED:
                    stale.append((await subject.runtime.container(container_id)).state is not ContainerState.EXITED)
                    break
            await stream.aclose()  # type: ignore[attr-defined]
        assert not any(stale)

    async def test_removal_is_announced(self, subject: Subject) -> None:
        async with subject.listening() as seen:
            sandbox_id, container_id = await subject.started()
            await subject.runtime.remove_sandbox(sandbox_id)
            await subject.saw(seen, EventKind.REMOVED, container_id)
            await subject.saw(seen, EventKind.REMOVED, sandbox_id)

    async def test_images_are_found_by_any_of_their_names(self, subject: Subject) -> None:
        image = await subject.runtime.image(subject.image)
        assert image is not None
        assert subject.image in image.tags
        assert await subject.runtime.image(image.id) == image
        assert image in await subject.runtime.images()
        assert await subject.runtime.image("localhost/motet-test/absent:1") is None
