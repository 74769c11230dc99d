"""Published ports on every node: who the client seems to be, and whether anybody is lost when pods come and go."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import time
from typing import Any

import pytest
from tests.testbed.load import fetch, load
from tests.testbed.world import IMAGE, NODES, Json, World, reaches, runtime_of, until

from motet.client.interface import Client
from motet.kinds import deployment, networkpolicy, pod, service

pytestmark = pytest.mark.node


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
        await until(lambda: reaches(world, dict.fromkeys(NODES, "n1 n2 n3")))


async def test_a_rollout_loses_no_request_at_any_nodes_port(world: World) -> None:
    """Though the old version's process ends the moment it is told to."""
    hosts = [world.testbed.address(name) for name in NODES]
    async with world.testbed.client() as admin:
        await admin.create(deployment.KIND, rolling("v0"), "default")
        spec = {"type": "NodePort", "selector": {"app": "roll"}, "ports": [{"port": 8080, "nodePort": 30081}]}
        await admin.create(service.KIND, {"metadata": {"name": "roll"}, "spec": spec}, "default")
        await until(lambda: everywhere(hosts, "v0"))
        with load(hosts, 30081) as clients:
            for version in ("v1", "v2"):
                template = rolling(version)["spec"]["template"]
                await admin.patch(deployment.KIND, "roll", {"spec": {"template": template}}, "default")
                await until(lambda: everywhere(hosts, version))  # noqa: B023
        await admin.delete(deployment.KIND, "roll", "default")
        await admin.delete(service.KIND, "roll", "default")
    assert clients.failures == []
    assert clients.answers > 100
    assert {body.split()[0] for body in clients.last} == {"v0", "v1", "v2"}


async def everywhere(hosts: list[str], version: str) -> bool:
    """Whether every node's port gives this version and no other, ten times in a row."""
    try:
        found = await asyncio.gather(*(asyncio.to_thread(fetch, host, 30081) for host in hosts for _ in range(10)))
    except (OSError, http.client.HTTPException):
        return False
    return {body.split()[0] for body in found} == {version}


def rolling(version: str) -> Json:
    container = {
        "name": "roll",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/serve-and-end"],
        "env": [{"name": "VERSION", "value": version}],
        "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
    }
    spec = {"terminationGracePeriodSeconds": 5, "containers": [container]}
    return {
        "metadata": {"name": "roll"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "roll"}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 2}},
            "template": {"metadata": {"labels": {"app": "roll"}}, "spec": spec},
        },
    }


async def test_a_pod_that_is_not_ready_gets_no_new_connection_by_another_node_within_a_second(world: World) -> None:
    """The probe asks every second, so it is two from the moment the pod says no."""
    host = world.testbed.address("n1")
    probe = {"httpGet": {"port": 8080, "path": "/ready"}, "periodSeconds": 1, "failureThreshold": 1}
    async with world.testbed.client() as admin:
        for name in ("n2", "n3"):
            await admin.create(pod.KIND, at(name, f"fickle-{name}", 8080, probe=probe), "default")
        ports = [{"port": 8080, "nodePort": 30082}]
        await published(admin, "fickle", selector={"app": "fickle"}, type="NodePort", ports=ports)
        await until(lambda: both(host))
        with load([host], 30082) as clients:
            removed = await say_no(world, "n3")
            await until(lambda: later_than(removed + 2.5))
        for name in ("n2", "n3"):
            await admin.delete(pod.KIND, f"fickle-{name}", "default")
        await admin.delete(service.KIND, "fickle", "default")
    assert clients.failures == []
    assert max(clients.last["fickle-n3"], removed) - removed < 2.0
    assert clients.last["fickle-n2"] - removed > 2.0


async def both(host: str) -> bool:
    try:
        return len({await asyncio.to_thread(fetch, host, 30082) for _ in range(20)}) == 2
    except (OSError, http.client.HTTPException):
        return False


async def say_no(world: World, name: str) -> float:
    """Make the pod of a node fail its probe; returns when that was done."""
    async with runtime_of(world.testbed.box(name)) as runtime:
        found = [each for each in await runtime.containers() if each.state == "running" and each.name == "other"]
        await runtime.exec_sync(found[-1].id, ("rm", "/tmp/www/ready"), 10)
    return time.monotonic()


async def later_than(instant: float) -> bool:
    return time.monotonic() > instant


async def test_every_way_in_works_from_every_place(world: World) -> None:
    """Node ports, balancers and host ports; from outside, from nodes and from pods; to pods and to nodes' own processes."""
    hosts = [world.testbed.address(name) for name in NODES]
    async with world.testbed.client() as admin:
        for name in NODES:
            await admin.create(pod.KIND, at(name, f"host-{name}", 8188, hostNetwork=True), "default")
        await admin.create(pod.KIND, at("n2", "mapped", 8080, host_port=8189), "default")
        web = {"selector": {"app": "web"}, "type": "NodePort"}
        ports = [{"port": 8190, "targetPort": "http"}]
        made = [
            await published(admin, "host", selector={"app": "host"}, type="NodePort", ports=[{"port": 8188}]),
            await published(
                admin, "local", **web, ports=[{"port": 80, "targetPort": "http"}], externalTrafficPolicy="Local"
            ),
            await published(admin, "balanced", **{**web, "type": "LoadBalancer"}, ports=ports),
        ]
        addresses = [f"{spec['clusterIP']}:{spec['ports'][0]['port']}" for spec in made]
        node_ports = [spec["ports"][0]["nodePort"] for spec in made]
        outside = [f"{host}:{port}" for host in hosts for port in (30080, 8190, *node_ports)] + [f"{hosts[1]}:8189"]
        loopback = [f"127.0.0.1:{port}" for port in (30080, 8190, *node_ports[1:])]
        await until(lambda: fails_nowhere(world, outside, [*outside, *addresses], loopback))
        for name in ("host", "local", "balanced"):
            await admin.delete(service.KIND, name, "default")
        for name in (*(f"host-{name}" for name in NODES), "mapped"):
            await admin.delete(pod.KIND, name, "default")


async def fails_nowhere(world: World, outside: list[str], inside: list[str], loopback: list[str]) -> bool:
    """Whether every URL answers three times from wherever it should."""
    failed = shell(asking(outside))
    for name in NODES:
        failed += shell(asking([*inside, *loopback]), world, name) + await world.in_pod(name, asking(inside))
    return not failed


def asking(urls: list[str]) -> str:
    return f"for u in {' '.join(urls * 3)}; do timeout 2 busybox wget -q -O /dev/null http://$u/ || echo $u; done"


def shell(script: str, world: World | None = None, node: str = "") -> str:
    command = ["sh", "-c", script]
    if world is not None:
        command = world.testbed.box(node).inside(command)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


async def published(admin: Client, name: str, **spec: Any) -> Json:
    """The spec of a new service, its ports filled in."""
    made = await admin.create(service.KIND, {"metadata": {"name": name}, "spec": spec}, "default")
    found: Json = made.decode()["spec"]
    return found


def at(node: str, name: str, port: int, *, host_port: int = 0, probe: Json | None = None, **spec: Any) -> Json:
    """A pod that serves on `port` of that node's or of its own address."""
    ports = [{"containerPort": port, **({"hostPort": host_port} if host_port else {})}]
    script = (
        f"mkdir -p /tmp/www; echo {name} > /tmp/www/index.html; > /tmp/www/ready; exec httpd -f -p {port} -h /tmp/www"
    )
    container = {
        "name": "other",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "ports": ports,
        **({"readinessProbe": probe} if probe else {}),
    }
    return {
        "metadata": {"name": name, "labels": {"app": name.partition("-")[0]}},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }
