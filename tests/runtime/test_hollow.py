import asyncio
import dataclasses
from pathlib import Path

import pytest

from motet.base.clock import FakeClock
from motet.runtime import hollow
from motet.runtime.hollow import HollowRuntime, Latency
from motet.runtime.interface import (
    ContainerConfig,
    ContainerState,
    EventKind,
    ImageNotFound,
    RuntimeFailure,
    SandboxConfig,
)
from runtime.conformance import RuntimeConformance, Subject
from support.images import busybox_image

IMAGE = "localhost/motet-test/hollow:1"


class HollowSubject(Subject):
    image = IMAGE

    def __init__(self, runtime: HollowRuntime) -> None:
        self.runtime = runtime

    def sandbox(self, name: str = "pod") -> SandboxConfig:
        return SandboxConfig(name, "default", f"uid-{name}", 0, name, "/var/log/pods", f"/motet/pods/{name}")

    def lasting(self, name: str = "main") -> ContainerConfig:
        return ContainerConfig(name, 0, IMAGE, f"{name}.log")

    def ending(self, code: int) -> ContainerConfig:
        return self._noted({hollow.RUN_SECONDS: "0", hollow.EXIT_CODE: str(code)})

    def stubborn(self) -> ContainerConfig:
        return self._noted({hollow.IGNORES_TERM: "true"})

    def _noted(self, annotations: dict[str, str]) -> ContainerConfig:
        return dataclasses.replace(self.lasting(), annotations=annotations)


@pytest.fixture
async def subject():
    runtime = HollowRuntime()
    await runtime.pull(IMAGE)
    yield HollowSubject(runtime)
    await runtime.close()


class TestHollow(RuntimeConformance):
    pass


async def test_operations_take_as_long_as_the_latency_model_says():
    clock = FakeClock()
    runtime = HollowRuntime(clock=clock, latency=Latency(run_sandbox=2.0))
    subject = HollowSubject(runtime)
    starting = asyncio.create_task(runtime.run_sandbox(subject.sandbox()))
    await clock.advance(1.9)
    assert not starting.done()
    await clock.advance(0.2)
    assert starting.done()


async def test_a_container_ends_by_itself_when_its_annotation_says_so():
    clock = FakeClock()
    runtime = HollowRuntime(clock=clock)
    await runtime.pull(IMAGE)
    subject = HollowSubject(runtime)
    config = subject._noted({hollow.RUN_SECONDS: "3600", hollow.EXIT_CODE: "4"})
    _, container_id = await subject.started(config)
    await clock.advance(3599)
    assert (await runtime.container(container_id)).state is ContainerState.RUNNING
    await clock.advance(2)
    assert (await runtime.container(container_id)).exit_code == 4


async def test_a_test_can_end_a_container_as_the_kernel_would(subject):
    _, container_id = await subject.started()
    async with subject.listening() as seen:
        subject.runtime.exit(container_id, 137, oom=True)
        await subject.saw(seen, EventKind.OOM, container_id)
        await subject.saw(seen, EventKind.EXITED, container_id)
    assert (await subject.runtime.container(container_id)).reason == "OOMKilled"


async def test_an_image_that_no_registry_has_cannot_be_pulled():
    runtime = HollowRuntime(missing_images=["nosuch"])
    with pytest.raises(ImageNotFound):
        await runtime.pull("docker.io/library/nosuch:latest")


async def test_importing_reads_the_archive_for_its_names(tmp_path: Path, subject):
    archive = busybox_image(tmp_path / "image.tar", "web:2")
    assert await subject.runtime.import_image(str(archive)) == ["docker.io/library/web:2"]
    assert await subject.runtime.image("web:2") is not None


async def test_what_needs_a_process_is_refused(subject):
    _, container_id = await subject.started()
    with pytest.raises(RuntimeFailure, match="runs no processes"):
        await subject.runtime.exec_url(container_id, ["sh"], stdin=True, stdout=True, stderr=True, tty=True)


async def test_addresses_of_stopped_pods_are_given_out_again():
    runtime = HollowRuntime(pod_cidr="10.9.0.0/30")
    subject = HollowSubject(runtime)
    first = await runtime.run_sandbox(subject.sandbox("a"))
    with pytest.raises(RuntimeFailure, match="no address"):
        await runtime.run_sandbox(subject.sandbox("b"))
    await runtime.remove_sandbox(first)
    second = await runtime.run_sandbox(subject.sandbox("c"))
    assert (await runtime.sandbox(second)).ips == ("10.9.0.2",)


async def test_thousands_of_pods_are_cheap(subject):
    for number in range(2000):
        await subject.started(pod=f"pod{number}")
    assert len(await subject.runtime.containers()) == 2000
    await subject.clear()
    assert await subject.runtime.containers() == []
