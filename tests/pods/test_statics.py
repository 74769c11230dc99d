"""Static pods on a real containerd, and the picture the API has of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from motet.base.clock import SystemClock
from motet.kinds import pod as pod_kind
from motet.pods.statics import StaticPods
from support.fake_client import FakeClient
from support.node import IMAGE, LiveNode
from support.pod_node import Agent, agent, ready

pytestmark = pytest.mark.node
MIRROR = "kubernetes.io/config.mirror"


@pytest.fixture(scope="module")
def node() -> Iterator[LiveNode]:
    live = LiveNode()
    asyncio.run(live.start())
    yield live
    asyncio.run(live.destroy())


@asynccontextmanager
async def running(node: LiveNode, files: Path, client: FakeClient | None = None) -> AsyncIterator[Agent]:
    """An agent that runs what `files` say."""
    files.mkdir(exist_ok=True)
    async with agent(node, client) as made:
        static = StaticPods(files, "n1", made.manager, made.client, SystemClock(), lambda: "node-uid")
        made.manager.static_source = static.found
        task = asyncio.create_task(static.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def write(files: Path, command: str = "sleep 1000") -> Path:
    path = files / "web.yaml"
    path.write_text(f"""
kind: Pod
apiVersion: v1
metadata: {{name: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: app, image: {IMAGE}, command: [sh, -c, "{command}"]}}]
""")
    return path


async def nothing_runs(made: Agent) -> None:
    async with asyncio.timeout(20):
        while await made.runtime.sandboxes():
            await asyncio.sleep(0.05)


async def test_a_file_runs_is_shown_is_shown_again_and_ends_with_its_file(node: LiveNode, tmp_path: Path):
    async with running(node, tmp_path / "files") as made:
        path = write(tmp_path / "files")
        pod = await made.until("web-n1", lambda pod: pod["status"]["phase"] == "Running" and ready(pod))
        shown = pod["metadata"]
        container = pod["status"]["containerStatuses"][0]["containerID"]
        await made.client.delete(pod_kind.KIND, "web-n1", "default", grace_seconds=30)
        again = await made.until("web-n1", lambda pod: pod["metadata"]["uid"] != shown["uid"] and ready(pod))
        assert again["metadata"]["annotations"][MIRROR] == shown["annotations"][MIRROR]
        assert again["status"]["containerStatuses"][0]["containerID"] == container
        path.unlink()
        await made.until("web-n1", lambda pod: not pod)
        await nothing_runs(made)


async def test_a_changed_file_is_another_pod(node: LiveNode, tmp_path: Path):
    async with running(node, tmp_path / "files") as made:
        path = write(tmp_path / "files")
        first = await made.until("web-n1", lambda pod: ready(pod))

        def replaced(pod: dict[str, Any]) -> bool:
            other = pod["metadata"]["annotations"][MIRROR] != first["metadata"]["annotations"][MIRROR]
            return other and ready(pod)

        write(tmp_path / "files", "sleep 2000")
        await made.until("web-n1", replaced)
        path.unlink()
        await nothing_runs(made)


async def test_it_runs_without_an_api_and_survives_the_agent(node: LiveNode, tmp_path: Path):
    files, client = tmp_path / "files", FakeClient()
    async with running(node, files, client) as before:
        path = write(files)
        await before.until("web-n1", lambda pod: ready(pod))
        [container] = await before.runtime.containers()
    async with running(node, files, client) as after:
        pod = await after.until("web-n1", lambda pod: ready(pod))
        assert pod["status"]["containerStatuses"][0]["containerID"] == f"containerd://{container.id}"
        path.unlink()
        await nothing_runs(after)
