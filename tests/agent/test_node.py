from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from motet.agent.config import AgentConfig
from motet.agent.machine import Machine
from motet.agent.node import Facts, NodeAgent, changed, status_of
from motet.base.clock import FakeClock
from motet.kinds import lease as lease_kind
from motet.kinds import node as node_kind
from motet.runtime.interface import Image, RuntimeUnavailable
from support.fake_client import FakeClient

GIB = 1 << 30
MACHINE = Machine(2, 4 * GIB, 100 * GIB, "id", "boot", "6.1", "Debian", "amd64")
FACTS = Facts(MACHINE, (), "containerd://1.6.20", "", [Image("i", ("a:1",), (), 5)])
CLOCK = FakeClock()


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    nothing = tmp_path / "none"
    return AgentConfig(
        server="",
        ca=nothing,
        certificate=nothing,
        key=nothing,
        address="192.168.0.9",
        node_name="n1",
        data_dir=tmp_path,
    )


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {item["type"]: item["status"] for item in status["conditions"]}


def test_a_well_node_is_ready_and_under_no_pressure(config: AgentConfig):
    status = status_of(config, FACTS, (), CLOCK.now())
    assert conditions(status) == {
        "NetworkUnavailable": "False", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True",
    }  # fmt: skip
    assert status["capacity"] == {"cpu": "2", "memory": "4194304Ki", "ephemeral-storage": "104857600Ki", "pods": "110"}
    assert status["allocatable"]["memory"] == "4091904Ki"
    assert status["images"] == [{"names": ["a:1"], "sizeBytes": 5}]


def test_trouble_shows_in_the_conditions(config: AgentConfig):
    pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
    facts = replace(FACTS, pressures=pressures, not_ready="no network")
    status = status_of(config, facts, (), CLOCK.now())
    assert set(conditions(status).values()) - {"False"} == {"True"}
    assert next(item["message"] for item in status["conditions"] if item["type"] == "Ready") == "no network"


def test_the_heartbeat_alone_is_no_change(config: AgentConfig):
    first = status_of(config, FACTS, (), CLOCK.now())
    later = status_of(config, FACTS, first["conditions"], FakeClock(CLOCK.now().replace(year=2027)).now())
    assert not changed(first, later)
    assert changed(first, status_of(config, replace(FACTS, not_ready="x"), first["conditions"], CLOCK.now()))


class Containers:
    """As much of a runtime as a node's status needs."""

    away = False

    async def version(self) -> tuple[str, str]:
        if self.away:
            raise RuntimeUnavailable("nobody answers")
        return "containerd", "1.6.20~ds1"

    async def images(self) -> list[Image]:
        return []

    async def network_ready(self) -> str:
        return ""


async def test_a_node_registers_and_keeps_its_lease(config: AgentConfig):
    clock, runtime = FakeClock(), Containers()
    client = FakeClient(clock)
    node = NodeAgent(config, client, runtime, clock)  # type: ignore[arg-type]
    await node.register()
    await node.ready()
    made = (await client.get(node_kind.KIND, "n1")).decode()
    assert made["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
    assert made["status"]["nodeInfo"]["containerRuntimeVersion"] == "containerd://1.6.20"
    assert conditions(made["status"])["Ready"] == "True"
    import asyncio

    task = asyncio.create_task(node.run())
    await clock.advance(15)
    first = (await client.get(lease_kind.KIND, "n1", "kube-node-lease")).decode()["spec"]
    runtime.away = True
    await clock.advance(10)
    second = (await client.get(lease_kind.KIND, "n1", "kube-node-lease")).decode()["spec"]
    assert second["renewTime"] > first["renewTime"]
    assert conditions((await client.get(node_kind.KIND, "n1")).decode()["status"])["Ready"] == "False"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_node_that_was_deleted_registers_again(config: AgentConfig):
    import asyncio

    clock = FakeClock()
    client = FakeClient(clock)
    node = NodeAgent(config, client, Containers(), clock)  # type: ignore[arg-type]
    await node.register()
    await node.ready()
    task = asyncio.create_task(node.run())
    await clock.advance(5)
    await client.delete(node_kind.KIND, "n1")
    await clock.advance(400)
    assert conditions((await client.get(node_kind.KIND, "n1")).decode()["status"])["Ready"] == "True"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_the_cluster_said_while_the_node_was_away_is_taken_back_with_the_next_heartbeat(config: AgentConfig):
    import asyncio

    clock = FakeClock()
    client = FakeClient(clock)
    node = NodeAgent(config, client, Containers(), clock)  # type: ignore[arg-type]
    await node.register()
    await node.ready()
    task = asyncio.create_task(node.run())
    await clock.advance(5)
    status = (await client.get(node_kind.KIND, "n1")).decode()["status"]
    unknown = [{**condition, "status": "Unknown"} for condition in status["conditions"]]
    await client.patch(node_kind.KIND, "n1", {"status": {"conditions": unknown}}, subresource="status")
    await clock.advance(10)
    assert conditions((await client.get(node_kind.KIND, "n1")).decode()["status"])["Ready"] == "True"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_conditions_of_others_stay_when_the_agent_writes_its_own(config: AgentConfig):
    clock = FakeClock()
    client = FakeClient(clock)
    node = NodeAgent(config, client, Containers(), clock)  # type: ignore[arg-type]
    await node.register()
    status = (await client.get(node_kind.KIND, "n1")).decode()["status"]
    theirs = {"type": "ClockSkew", "status": "True", "message": "by ten minutes"}
    held = {"conditions": [*status["conditions"], theirs]}
    await client.patch(node_kind.KIND, "n1", {"status": held}, subresource="status")
    await node.ready()
    after = (await client.get(node_kind.KIND, "n1")).decode()["status"]
    assert conditions(after)["Ready"] == "True"
    assert theirs in after["conditions"]


async def test_a_resource_that_somebody_advertises_can_be_used_until_it_is_taken_away(config: AgentConfig):
    clock = FakeClock()
    client = FakeClient(clock)
    node = NodeAgent(config, client, Containers(), clock)  # type: ignore[arg-type]
    await node.register()
    for amount in ("3", "5", None):
        capacity = {"example.com/dongle": amount}
        await client.patch(node_kind.KIND, "n1", {"status": {"capacity": capacity}}, subresource="status")
        await node.tell()
        status = (await client.get(node_kind.KIND, "n1")).decode()["status"]
        assert status["allocatable"].get("example.com/dongle") == amount
        assert status["allocatable"]["pods"] == "110"
