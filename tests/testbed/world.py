"""Three nodes on this machine, with a pod on each and one service of all of them."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from motet.kinds import pod, service
from motet.runtime.cri import CriRuntime
from motet.testbed.box import Box
from motet.testbed.cluster import Testbed
from support.images import busybox_image

IMAGE = "localhost/motet-test/busybox:1"
NODES = ("n1", "n2", "n3")
# Ends at the first SIGTERM, in the middle of whatever it does.
_SERVE_AND_END = """#!/bin/sh
mkdir -p /tmp/www; echo $VERSION $HOSTNAME > /tmp/www/index.html
trap 'kill $!; exit 0' TERM
httpd -f -p 8080 -h /tmp/www & wait
"""
_SERVE = "#!/bin/sh\nmkdir -p /tmp/www; echo $HOSTNAME > /tmp/www/index.html; exec httpd -fvv -p 8080 -h /tmp/www\n"
Json = dict[str, Any]


class World:
    """The testbed, and pods `web-n1` to `web-n3` behind the service `web`, which every node publishes on port 30080."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed
        self.addresses: dict[str, str] = {}

    async def prepare(self, archive: Path) -> None:
        busybox_image(archive, IMAGE, {"serve": _SERVE, "serve-and-end": _SERVE_AND_END})
        await self.testbed.load_image(archive)
        async with self.testbed.client() as client:
            for name in NODES:
                await client.create(pod.KIND, web(name), "default")
            spec = {
                "type": "NodePort",
                "selector": {"app": "web"},
                "ports": [{"port": 80, "targetPort": "http", "nodePort": 30080}],
            }
            await client.create(service.KIND, {"metadata": {"name": "web"}, "spec": spec}, "default")
        for name in NODES:
            await self.running(name)

    async def running(self, name: str, *, unlike: str = "") -> None:
        """Return when the pod of a node is ready, under another address if told."""

        async def ready() -> bool:
            async with self.testbed.client() as client:
                status = (await client.get(pod.KIND, f"web-{name}", "default")).decode().get("status", {})
            told = {item["type"]: item["status"] for item in status.get("conditions") or ()}
            self.addresses[name] = status.get("podIP", "")
            return told.get("Ready") == "True" and self.addresses[name] not in ("", unlike)

        await until(ready)

    async def in_pod(self, name: str, script: str) -> str:
        """What a script in the pod of a node prints."""
        async with runtime_of(self.testbed.box(name)) as runtime:
            containers = [each for each in await runtime.containers() if each.state == "running" and each.name == "app"]
            result = await runtime.exec_sync(containers[-1].id, ("sh", "-c", script), 30)
        return result.stdout.decode()

    async def reached(self, name: str) -> str:
        """Whom the pod of a node reaches directly: the first letters of node names, `n1 n2`."""
        script = "".join(f"timeout 1 wget -q -O - http://{self.addresses[each]}:8080/; " for each in NODES)
        return " ".join(
            line.removeprefix("web-") for line in (await self.in_pod(name, script)).split() if "web" in line
        )

    def from_machine(self, url: str, node: str = "") -> str:
        """What this machine, or a node of the testbed, gets from a URL; empty when nothing."""
        command = ["timeout", "2", "busybox", "wget", "-q", "-O", "-", url]
        if node:
            command = self.testbed.box(node).inside(command)
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def web(name: str) -> Json:
    container = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/serve"],
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    return {
        "metadata": {"name": f"web-{name}", "labels": {"app": "web", "on": name}},
        "spec": {"nodeName": name, "terminationGracePeriodSeconds": 0, "containers": [container]},
    }


@asynccontextmanager
async def runtime_of(box: Box) -> AsyncIterator[CriRuntime]:
    runtime = CriRuntime(box.machine.containerd_socket)
    try:
        yield runtime
    finally:
        await runtime.close()


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, "it never came to pass"
        await asyncio.sleep(0.1)


def left(tag: str, roots: list[str]) -> list[str]:
    """Whatever of a testbed still is in the kernel."""
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found = [text for text in (*links.splitlines(), *tables.splitlines()) if tag in text]
    found += [str(path) for path in Path("/run/netns").glob(f"*{tag}*")]
    found += [str(path) for root in roots for path in Path("/sys/fs/cgroup").glob(f"*/{root.lstrip('/')}")]
    found += [str(Path("/run", root.lstrip("/"))) for root in roots if Path("/run", root.lstrip("/")).exists()]
    return found


async def reaches(world: World, wanted: dict[str, str]) -> bool:
    return {name: await world.reached(name) for name in wanted} == wanted
