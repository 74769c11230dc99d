"""Eviction and clearing away on a real containerd: what is short is made up, the pods are."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from motet.base.clock import SystemClock
from motet.kinds import secret
from motet.pods import eviction
from motet.pods.eviction import Amount
from motet.pods.evictor import EvictionConfig, Evictor
from motet.pods.imagegc import EVERYTHING, Policy
from motet.pods.measure import Measure, Space, space_of
from motet.pods.tidying import DeadContainers, ImageCollector
from support.images import busybox_image
from support.node import LiveNode
from support.pod_node import Agent, agent, shell

pytestmark = pytest.mark.node
MIB = 1 << 20


@pytest.fixture(scope="module")
def node() -> Iterator[LiveNode]:
    live = LiveNode()
    asyncio.run(live.start())
    yield live
    asyncio.run(live.destroy())


@pytest.fixture
async def made(node: LiveNode) -> AsyncIterator[Agent]:
    async with agent(node) as made:
        yield made
        for name in [pod.metadata.name for pod in made.manager.pods()]:
            await made.gone(name)


class Pressure:
    """An evictor whose node has what the test says."""

    def __init__(self, made: Agent, **left: int) -> None:
        self.left = {name.replace("_", "."): Amount(amount * MIB, 1000 * MIB) for name, amount in left.items()}
        self.reclaimed = 0
        self.told = 0
        config = EvictionConfig((eviction.parse("memory.available<100Mi"), eviction.parse("nodefs.available<100Mi")))
        measure = Measure(made.tools, made.manager.view)
        self.evictor = Evictor(
            config, made.manager, measure, SystemClock(), lambda: self.left, self._reclaim, self._tell
        )

    async def _reclaim(self) -> None:
        self.reclaimed += 1

    async def _tell(self) -> None:
        self.told += 1


def evicted(pod: dict[str, Any]) -> bool:
    return (pod["status"]["phase"], pod["status"].get("reason")) == ("Failed", "Evicted")


def hungry(mebibytes: int, **fields: Any) -> dict[str, Any]:
    return shell(f"x=$(head -c {mebibytes}M /dev/zero | tr '\\0' x); echo full; while true; do sleep 1; done", **fields)


async def test_when_memory_runs_short_the_pod_that_took_most_beyond_its_request_is_ended(made: Agent):
    await made.run_pod(hungry(40, resources={"requests": {"memory": "200Mi"}}), name="modest")
    await made.run_pod(hungry(20), name="greedy")
    for name in ("modest", "greedy"):
        pod = await made.running(name)
        async with asyncio.timeout(20):
            while "full" not in made.log(pod, "app"):
                await asyncio.sleep(0.02)
    pressure = Pressure(made, memory_available=50)
    await pressure.evictor.turn()
    pod = await made.until("greedy", evicted)
    assert pod["status"]["message"].startswith("The node was low on resource: memory. Threshold quantity: 100Mi")
    disrupted = next(item for item in pod["status"]["conditions"] if item["type"] == "DisruptionTarget")
    assert disrupted["reason"] == "TerminationByKubelet"
    assert (await made.pod("modest"))["status"]["phase"] == "Running"
    assert (made.manager.pressures, pressure.told) == ({"MemoryPressure"}, 1)
    await made.run_pod(shell("sleep 1000"), name="late")
    assert (await made.until("late", evicted))["status"]["message"] == "The node had condition: [MemoryPressure]. "


async def test_when_the_disk_runs_short_what_is_the_nodes_own_goes_first(made: Agent):
    await made.run_pod(shell("sleep 1000"), name="innocent")
    await made.running("innocent")
    pressure = Pressure(made, nodefs_available=50)

    async def reclaim() -> None:
        pressure.left = {"nodefs.available": Amount(500 * MIB, 1000 * MIB)}

    pressure.evictor._reclaim = reclaim
    await pressure.evictor.turn()
    assert (await made.pod("innocent"))["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("fields", "spec", "words"),
    [
        (
            {"volumeMounts": [{"name": "scratch", "mountPath": "/fill"}]},
            {"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "5Mi"}}]},
            'Usage of EmptyDir volume "scratch" exceeds the limit "5Mi"',
        ),
        (
            {"resources": {"limits": {"ephemeral-storage": "5Mi"}}},
            {},
            "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi",
        ),
    ],
)
async def test_a_pod_that_fills_more_of_the_disk_than_it_may_is_ended(
    made: Agent, fields: dict[str, Any], spec: dict[str, Any], words: str
):
    script = "mkdir -p /fill; dd if=/dev/zero of=/fill/file bs=1M count=8 2>/dev/null; echo done; sleep 1000"
    await made.run_pod(shell(script, **fields), name="filler", **spec)
    pressure = Pressure(made)
    async with asyncio.timeout(40):
        # containerd looks at its snapshots every ten seconds.
        while (await made.pod("filler")).get("status", {}).get("phase") != "Failed":
            pressure.evictor._disk_at = 0
            await pressure.evictor.turn()
            await asyncio.sleep(0.2)
    pod = await made.until("filler", evicted)
    assert pod["status"]["message"].startswith(words)


async def test_containers_of_ended_pods_go_with_their_logs_and_others_stay(made: Agent):
    await made.run_pod(shell("echo bye"), name="ended", restartPolicy="Never")
    await made.run_pod(shell("sleep 1000"), name="lives")
    await made.running("lives")
    pod = await made.until("ended", lambda pod: pod["status"]["phase"] == "Succeeded")
    assert await DeadContainers(made.tools, made.manager.has_ended).remove() == 1
    assert [container.name for container in await made.runtime.containers()] == ["app"]
    with pytest.raises(FileNotFoundError):
        made.log(pod, "app")


async def test_images_in_use_or_imported_are_not_cleared_away(made: Agent, node: LiveNode):
    await made.run_pod(shell("sleep 1000"), name="user")
    await made.running("user")
    before = {image.id for image in await made.runtime.images()}
    collector = ImageCollector(made.tools, node.directory, Policy(least_age=0))
    assert await collector.free(EVERYTHING) == 0
    assert {image.id for image in await made.runtime.images()} == before


async def test_a_private_image_is_pulled_with_the_pods_secret_and_cleared_away_once_unused(
    made: Agent, node: LiveNode, tmp_path: Path
):
    with node.registry(busybox_image(tmp_path / "i.tar", "x:1", {"/p": "private"}), ("ann", "secret")) as host:
        auth = {"auths": {host: {"username": "ann", "password": "secret"}}}
        data = {".dockerconfigjson": base64.b64encode(json.dumps(auth).encode()).decode()}
        await made.client.create(secret.KIND, {"metadata": {"name": "pull"}, "data": data}, "default")
        private = shell("cat /p; sleep 1000") | {"image": f"{host}/private/image:1", "imagePullPolicy": "Always"}
        await made.run_pod(private, name="stranger")
        pod = await made.until("stranger", lambda pod: waiting(pod) == "ErrImagePull")
        assert "credentials" in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        await made.run_pod(private, name="friend", imagePullSecrets=[{"name": "pull"}])
        pod = await made.running("friend")
    collector = ImageCollector(made.tools, node.directory, Policy(least_age=0))
    assert await collector.free(EVERYTHING) == 0
    await made.gone("friend")
    await made.gone("stranger")
    assert await collector.free(EVERYTHING) > 0
    assert await made.runtime.image(f"{host}/private/image:1") is None


def waiting(pod: dict[str, Any]) -> str:
    return str(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"])


def test_space_is_counted_with_what_is_below_and_links_are_not_followed(tmp_path: Any):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/usr")
    found = space_of(tmp_path)
    assert 100_000 <= found.size < 200_000
    assert found.inodes == 4
    assert space_of(tmp_path / "none") == Space()
