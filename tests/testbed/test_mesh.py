"""Published ports on every node: who the client seems to be, and whether anybody is lost when pods come and go."""

from __future__ import annotations

import asyncio
import http.client

import pytest
from tests.testbed.load import fetch, load
from tests.testbed.world import IMAGE, NODES, Json, World, reaches, until

from motet.kinds import deployment, networkpolicy, service

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
    assert {body.split()[0] for body in clients.bodies} == {"v0", "v1", "v2"}


async def everywhere(hosts: list[str], version: str) -> bool:
    """Whether every node's port gives this version and no other, ten times in a row."""
    try:
        found = await asyncio.gather(*(asyncio.to_thread(fetch, host, 30081) for host in hosts for _ in range(10)))
    except (OSError, http.client.HTTPException):
        return False
    return {body.split()[0] for body in found} == {version}


def rolling(version: str) -> Json:
    container = {
        "name": "app",
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
