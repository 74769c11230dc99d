"""What `motet why` says, over a real kernel."""

from __future__ import annotations

from pathlib import Path

from tests.controllers.world import World, world
from tests.scheduler.builders import container

from motet.cli.why import asked, told
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind


async def nodes(it: World, **cpu: str) -> None:
    for name, amount in cpu.items():
        await it.create(node_kind.KIND, {"metadata": {"name": name}})
        offered = {"cpu": amount, "memory": "8Gi", "pods": "20"}
        await it.status(node_kind.KIND, name, {"capacity": offered, "allocatable": offered})


async def pod(it: World, name: str, cpu: str, **spec: object) -> None:
    await it.create(pod_kind.KIND, {"metadata": {"name": name}, "spec": {"containers": [container(cpu=cpu)], **spec}})


async def test_a_waiting_pod_is_told_what_would_help(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await nodes(it, n1="2", n2="4")
        await pod(it, "there", "1500m", nodeName="n1")
        await pod(it, "waits", "3")
        said = told(await asked(it.client, "default", "waits"))
        assert "default/waits waits; 1 of 2 nodes would do" in said
        assert "Insufficient cpu: wants 3, 500m free (fits if 2500m more were free)" in said


async def test_a_pod_does_not_stand_in_its_own_way(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await nodes(it, n1="2")
        await pod(it, "there", "2", nodeName="n1")
        answer = await asked(it.client, "default", "there")
        assert (answer.node, answer.nodes[0].fits) == ("n1", True)


async def test_gates_are_named(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await pod(it, "gated", "1", schedulingGates=[{"name": "example.com/wait"}])
        assert "scheduling gates hold it: example.com/wait" in told(await asked(it.client, "default", "gated"))


async def test_what_others_do_for_a_pod_or_decide_about_it_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await nodes(it, n1="2")
        await pod(it, "foreign", "1", schedulerName="theirs")
        assert "it waits for another scheduler: theirs" in told(await asked(it.client, "default", "foreign"))
        await pod(it, "important", "2")
        await it.status(pod_kind.KIND, "important", {"nominatedNodeName": "n1"})
        assert "pods of lower priority are leaving n1 for it" in told(await asked(it.client, "default", "important"))
