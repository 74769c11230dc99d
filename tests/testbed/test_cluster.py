"""A cluster of three nodes on this machine: pods on all of them, the way between them, and what happens when one dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from motet.base.errors import NotFound
from motet.kinds import namespace, networkpolicy, node, pod, service
from motet.machine import lifecycle
from motet.network.overlay.peers import mac_of
from motet.runtime.cri import CriRuntime
from motet.testbed import plan as plans
from motet.testbed.box import Box
from motet.testbed.cluster import Testbed
from motet.testbed.plan import TestbedError
from support.images import busybox_image

pytestmark = pytest.mark.node

IMAGE = "localhost/motet-test/busybox:1"
NODES = ("n1", "n2", "n3")
_SERVE = "#!/bin/sh\nmkdir -p /tmp/www; echo $HOSTNAME > /tmp/www/index.html; exec httpd -fvv -p 8080 -h /tmp/www\n"
Json = dict[str, Any]


class World:
    """The testbed, and pods `web-n1` to `web-n3` behind the service `web`, which every node publishes on port 30080."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed
        self.addresses: dict[str, str] = {}

    async def prepare(self, archive: Path) -> None:
        busybox_image(archive, IMAGE, {"serve": _SERVE})
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


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="motet-testbed-", dir="/var/tmp") as directory:
        testbed = Testbed(Path(directory, "bed"))
        tag = plans.tag(testbed.directory)
        roots = []
        try:
            began = time.monotonic()
            asyncio.run(testbed.up(3))
            assert time.monotonic() - began < 30
            roots = [testbed.box(name).machine.cgroup_root for name in NODES]
            made = World(testbed)
            asyncio.run(made.prepare(Path(directory, "image.tar")))
            yield made
        finally:
            assert asyncio.run(testbed.down())
        assert left(tag, roots) == []
        assert not testbed.directory.exists()
        assert not asyncio.run(testbed.down()), "a second time there is nothing to take down"


def left(tag: str, roots: list[str]) -> list[str]:
    """Whatever of a testbed still is in the kernel."""
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found = [text for text in (*links.splitlines(), *tables.splitlines()) if tag in text]
    found += [str(path) for path in Path("/run/netns").glob(f"*{tag}*")]
    found += [str(path) for root in roots for path in Path("/sys/fs/cgroup").glob(f"*/{root.lstrip('/')}")]
    found += [str(Path("/run", root.lstrip("/"))) for root in roots if Path("/run", root.lstrip("/")).exists()]
    return found


async def test_every_pod_reaches_every_pod_on_every_node(world: World) -> None:
    for name in NODES:
        assert await world.reached(name) == "n1 n2 n3"


async def test_pods_see_the_address_of_the_pod_that_talks_to_them(world: World) -> None:
    for name in NODES:
        await world.reached(name)
    for name in NODES:
        (log,) = world.testbed.box(name).machine.pod_logs.glob("*/app/0.log")
        assert all(f"{address}]" in log.read_text() for address in world.addresses.values())


async def test_a_service_is_found_by_name_and_reached_from_every_node(world: World) -> None:
    for name in NODES:
        script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do timeout 2 wget -q -O - http://web/; done"
        answers = (await world.in_pod(name, script)).split()
        assert len(answers) == 12
        assert len(set(answers)) > 1


async def test_every_node_publishes_the_port_wherever_the_pods_are(world: World) -> None:
    for name in NODES:
        outside = [world.from_machine(f"http://{world.testbed.address(name)}:30080/") for _ in range(8)]
        assert all(outside)
        assert len(set(outside)) > 1
        assert all(world.from_machine("http://127.0.0.1:30080/", node=name) for _ in range(8))


async def test_pods_see_the_client_whichever_node_it_came_to(world: World) -> None:
    client = str(world.testbed.plan.gateway)
    block = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": f"{client}/32"}}]}]}

    async def seen() -> bool:
        answers = {world.from_machine(f"http://{world.testbed.address('n1')}:30080/") for _ in range(12)}
        return answers == {"web-n1", "web-n2", "web-n3"} and await world.reached("n2") == "n2"

    async with world.testbed.client() as admin:
        await admin.create(networkpolicy.KIND, {"metadata": {"name": "client"}, "spec": block}, "default")
        await until(seen)
        await admin.delete(networkpolicy.KIND, "client", "default")
        await until(lambda: _reaches(world, dict.fromkeys(NODES, "n1 n2 n3")))


async def test_a_node_reaches_pods_of_the_others(world: World) -> None:
    for name in NODES:
        for other in NODES:
            assert world.from_machine(f"http://{world.addresses[other]}:8080/", node=name) == f"web-{other}"


async def test_a_route_somebody_deleted_comes_back_within_a_second_or_two(world: World) -> None:
    box = world.testbed.box("n1")
    pods = IPv4Network(f"{world.addresses['n2']}/24", strict=False)
    subprocess.run(box.inside(["ip", "route", "del", str(pods)]), check=True)
    subprocess.run(box.inside(["bridge", "fdb", "del", mac_of(pods), "dev", "motet-overlay"]), check=True)

    async def back() -> bool:
        return bool(world.from_machine(f"http://{world.addresses['n2']}:8080/", node="n1"))

    await until(back, 5)


async def test_a_policy_is_kept_between_nodes_and_taken_back(world: World) -> None:
    def policy(name: str, spec: Json) -> Json:
        return {"metadata": {"name": name}, "spec": spec}

    async with world.testbed.client() as client:
        await client.create(networkpolicy.KIND, policy("none", {"podSelector": {}}), "default")
        await until(lambda: _reaches(world, {"n1": "n1", "n2": "n2", "n3": "n3"}))
        assert world.from_machine(f"http://{world.addresses['n1']}:8080/", node="n1"), "a node reaches its own pods"
        allow = {
            "podSelector": {"matchLabels": {"on": "n2"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"on": "n1"}}}], "ports": [{"port": "http"}]}],
        }
        await client.create(networkpolicy.KIND, policy("some", allow), "default")
        await until(lambda: _reaches(world, {"n1": "n1 n2", "n2": "n2", "n3": "n3"}))
        for name in ("none", "some"):
            await client.delete(networkpolicy.KIND, name, "default")
        await until(lambda: _reaches(world, dict.fromkeys(NODES, "n1 n2 n3")))


async def test_a_policy_about_ways_out_includes_names(world: World) -> None:
    ask = "timeout 2 nslookup web.default.svc.cluster.local >/dev/null 2>&1 && echo yes || echo no"
    peers: list[Json] = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ]
    spec: Json = {"podSelector": {}, "policyTypes": ["Egress"]}
    names = {**spec, "egress": [{"to": peers, "ports": [{"port": 53, "protocol": "UDP"}]}]}

    async def answers(wanted: str) -> bool:
        return (await world.in_pod("n2", ask)).strip() == wanted

    async with world.testbed.client() as client:
        await client.create(networkpolicy.KIND, {"metadata": {"name": "out"}, "spec": spec}, "default")
        await until(lambda: answers("no"))
        await client.create(networkpolicy.KIND, {"metadata": {"name": "names"}, "spec": names}, "default")
        await until(lambda: answers("yes"))
        for name in ("out", "names"):
            await client.delete(networkpolicy.KIND, name, "default")


async def _reaches(world: World, wanted: dict[str, str]) -> bool:
    return {name: await world.reached(name) for name in wanted} == wanted


async def test_a_namespace_has_its_own_name_for_policies_to_select(world: World) -> None:
    async with world.testbed.client() as client:
        found = await client.get(namespace.KIND, "default")
    assert (found.meta.labels or {}).get("kubernetes.io/metadata.name") == "default"


async def test_losing_every_packet_is_being_away_until_it_is_healed(world: World) -> None:
    url = f"http://{world.testbed.address('n3')}:30080/"
    world.testbed.lose("n3", 100)
    assert world.from_machine(url) == ""
    world.testbed.lose("n3", 0)

    async def heard() -> bool:
        return world.from_machine(url) != ""

    await until(heard, 10)


async def test_a_node_that_lost_power_comes_back_with_its_pods_and_its_place(world: World) -> None:
    before = await pod_network(world, "n2")
    box = world.testbed.box("n2")
    world.testbed.kill("n2")
    assert box.pid == 0
    with pytest.raises(TestbedError, match="is off"):
        world.testbed.kill("n2")
    was = world.addresses["n2"]
    await world.testbed.start("n2")
    await world.testbed.until_ready(["n2"])
    assert await pod_network(world, "n2") == before
    await world.running("n2", unlike=was)
    assert await world.reached("n1") == "n1 n2 n3"


async def test_motet_killed_on_a_node_is_started_again_and_its_pods_notice_nothing(world: World) -> None:
    box, was = world.testbed.box("n2"), world.addresses["n2"]
    daemon = lifecycle.running(box.machine)
    os.kill(daemon, signal.SIGKILL)
    await until(lambda: _ended(daemon), 5)
    assert box.pid
    assert world.from_machine(f"http://{was}:8080/", node="n1") == "web-n2"
    await world.testbed.start("n2")
    await world.testbed.until_ready(["n2"])
    with pytest.raises(TestbedError, match="is on already"):
        await world.testbed.start("n2")
    await world.running("n2")
    assert world.addresses["n2"] == was


async def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def pod_network(world: World, name: str) -> str:
    async with world.testbed.client() as client:
        cidr: str = (await client.get(node.KIND, name)).decode()["spec"]["podCIDR"]
    return cidr


async def test_a_node_that_is_cut_off_is_not_ready_and_is_again_when_it_is_back(world: World) -> None:
    world.testbed.cut("n3")

    async def unheard() -> bool:
        return (await world.testbed.states())["n3"].startswith("NotReady")

    await until(unheard)
    assert world.from_machine(f"http://{world.addresses['n3']}:8080/", node="n3") == "web-n3", "its pods run on"
    world.testbed.cut("n3", cut=False)
    await world.testbed.until_ready(["n3"])
    assert await world.reached("n1") == "n1 n2 n3"


async def test_a_node_that_leaves_is_forgotten_by_the_others(world: World) -> None:
    world.testbed.kill("n3")
    async with world.testbed.client() as client:
        await client.delete(node.KIND, "n3")
        with pytest.raises(NotFound):
            await client.get(node.KIND, "n3")

    async def forgotten() -> bool:
        command = world.testbed.box("n1").inside(["ip", "route", "show", "dev", "motet-overlay"])
        routes = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        return len(routes.stdout.splitlines()) == 1

    await until(forgotten, 10)
