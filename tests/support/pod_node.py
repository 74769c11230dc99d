"""A node that runs pods for real: a containerd of its own, the pods' manager, and the agent's server, with no API server.

The kernel is a `FakeClient`; what it holds is what the node should run.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from motet.agent.insides import Insides
from motet.agent.sampling import Sampler
from motet.agent.server import AgentServer
from motet.agent.volumestats import VolumeStats
from motet.base.clock import SystemClock
from motet.client.events import EventRecorder
from motet.identity import tls
from motet.identity.authority import Authority
from motet.kinds import pod as pod_kind
from motet.pods.actions import Actions
from motet.pods.config import PodsConfig
from motet.pods.env import Place
from motet.pods.execute import Tools
from motet.pods.images import Images
from motet.pods.isolation import Isolation, NoIsolation
from motet.pods.manager import Manager
from motet.pods.sources import ApiSources
from motet.pods.volumes import Volumes
from motet.runtime.cgroups import Cgroups
from motet.runtime.interface import Runtime
from support.fake_client import FakeClient
from support.node import IMAGE, LiveNode

Json = dict[str, Any]


class Agent:
    """One agent process' worth of work on a live node. `settings` change its PodsConfig."""

    def __init__(
        self, node: LiveNode, client: FakeClient, runtime: Runtime, isolation: Isolation, **settings: Any
    ) -> None:
        clock = SystemClock()
        place = Place("n1", ("10.0.0.1",), 2000, 4 << 30)
        directory = node.directory
        config = PodsConfig(place, directory / "pods", directory / "logs", node.pods_cgroup)
        sources = ApiSources(client, clock)
        self.client = client
        self.node = node
        self.runtime = runtime
        self.recorder = EventRecorder(client, clock, "kubelet", "n1")
        self.tools = Tools(
            config=replace(config, **settings),
            client=client,
            runtime=runtime,
            clock=clock,
            recorder=self.recorder,
            sources=sources,
            volumes=Volumes(config.pods_directory, sources, place),
            images=Images(runtime, sources),
            actions=Actions(runtime),
            cgroups=Cgroups(),
            isolation=isolation,
        )
        self.manager = Manager(client, self.tools)
        self.sampler = Sampler(self.manager, self.tools.cgroups, clock)
        insides = Insides(self.manager, self.tools.cgroups, clock)
        self.server = AgentServer(
            self.manager,
            runtime,
            clock,
            self.sampler,
            "n1",
            self._dial,
            insides=insides,
            volumes=VolumeStats(self.tools, clock),
        )

    async def _dial(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Into the node's network namespace, where its streaming server listens."""
        connection = await asyncio.to_thread(self.node.dial, host, port)
        connection.setblocking(False)
        return await asyncio.open_connection(sock=connection)

    async def run_pod(self, *containers: Json, name: str, **spec: Any) -> None:
        document = {"metadata": {"name": name}, "spec": {"nodeName": "n1", "containers": list(containers), **spec}}
        await self.client.create(pod_kind.KIND, document, "default")

    async def pod(self, name: str) -> Json:
        return (await self.client.get(pod_kind.KIND, name, "default")).decode()

    async def until(self, name: str, holds: Callable[[Json], Any], timeout: float = 30.0) -> Json:
        """The pod as soon as `holds(pod)`; None stands for a pod that is gone (an empty dict)."""
        found: Json = {}
        try:
            async with asyncio.timeout(timeout):
                while True:
                    found = {}
                    if any(document.name == name for document in await self.client.list(pod_kind.KIND)):
                        found = await self.pod(name)
                    with contextlib.suppress(KeyError, IndexError):
                        if holds(found):
                            return found
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"pod {name} never got there: {found.get('status')}") from None

    async def running(self, name: str) -> Json:
        return await self.until(name, lambda pod: pod["status"]["phase"] == "Running" and ready(pod))

    async def gone(self, name: str, grace: int | None = 1) -> None:
        await self.client.delete(pod_kind.KIND, name, "default", grace_seconds=grace)
        await self.until(name, lambda pod: not pod)

    async def inside(self, name: str, *command: str, container: str = "app") -> str:
        """What a command in the newest running container of that name prints; it must succeed."""
        pod = self.manager.pod("default", name)
        assert pod is not None
        observed = await self.manager.observed(pod)
        running = next(made for made in observed.running if made.name == container)
        result = await self.runtime.exec_sync(running.id, command, 10)
        assert result.exit_code == 0, result
        return result.stdout.decode()

    def log(self, pod: Json, container: str, attempt: int = 0) -> str:
        meta = pod["metadata"]
        path = self.tools.config.logs_directory / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        return (path / container / f"{attempt}.log").read_text()


def ready(pod: Json) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"]["conditions"])


def app(*command: str, name: str = "app", **fields: Any) -> Json:
    return {"name": name, "image": IMAGE, "command": list(command), **fields}


def shell(script: str, name: str = "app", **fields: Any) -> Json:
    return app("sh", "-c", script, name=name, **fields)


@asynccontextmanager
async def agent(
    node: LiveNode, client: FakeClient | None = None, isolation: Isolation | None = None, **settings: Any
) -> AsyncIterator[Agent]:
    """Runs until the block ends, and leaves its pods running."""
    runtime = node.connect()
    made = Agent(node, client or FakeClient(), runtime, isolation or NoIsolation(), **settings)
    tasks = [asyncio.create_task(made.manager.run()), asyncio.create_task(made.recorder.run())]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await made.tools.actions.close()
        await runtime.close()


@asynccontextmanager
async def served(made: Agent, directory: Path) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """The agent's server on a port of its own: (its address, an administrator's TLS context)."""
    authority = Authority.create(directory)
    ca = directory / "ca.crt"
    own = authority.issue("system:node:n1", ("system:nodes",), sans=("127.0.0.1",)).write(directory, "node")
    admin = authority.issue("admin", ("system:masters",)).write(directory, "admin")
    serving = asyncio.create_task(made.server.run("127.0.0.1", 0, tls.server_context(*own, ca)))
    try:
        while made.server.port == 0:
            assert not serving.done(), serving.exception()
            await asyncio.sleep(0.01)
        yield f"https://127.0.0.1:{made.server.port}", tls.client_context(ca, *admin)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
