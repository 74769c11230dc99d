"""`motet rebalance` on a real kernel: real replica sets, scheduler and budgets, and nodes of a few lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.controllers.world import World, world

from motet.base.clock import SystemClock
from motet.base.errors import ApiError, MotetError
from motet.base.timestamps import format_time
from motet.cli.progress import Quiet
from motet.cli.rebalance import foresee, rebalance, told
from motet.controllers.budgets import DisruptionBudgets
from motet.controllers.replicaset import ReplicaSets
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.kinds import poddisruptionbudget, replicaset
from motet.scheduler.loop import Scheduler


async def sets(it: World) -> None:
    await ReplicaSets(it.client, it.clock, it.events).run()


async def scheduler(it: World) -> None:
    await Scheduler(it.client, it.events, it.clock).run()


async def budgets(it: World) -> None:
    await DisruptionBudgets(it.client, it.clock, it.events, it.registry.catalogue).run()


class Agents:
    """Bound pods are ready at once, unless `broken`; deleted ones end at once."""

    broken = False

    async def run(self, it: World) -> None:
        pods = await it.client.table(pod_kind.KIND)
        news = asyncio.Event()
        pods.listen(lambda old, new: news.set())
        while True:
            news.clear()
            for pod in list(pods):
                body = pod.decode()
                with contextlib.suppress(ApiError):
                    if body["metadata"].get("deletionTimestamp"):
                        await it.client.delete(
                            pod_kind.KIND, pod.name, pod.namespace, uid=pod.meta.uid, grace_seconds=0
                        )
                    elif body["spec"].get("nodeName") and body["status"].get("phase") != "Running":
                        await it.status(pod_kind.KIND, pod.name, running(it, fine=not self.broken))
            await news.wait()


def running(it: World, *, fine: bool) -> dict[str, Any]:
    now = format_time(it.clock.now())
    ready = {"type": "Ready", "status": str(fine), "lastTransitionTime": now}
    return {"phase": "Running", "conditions": [ready]}


async def node(it: World, name: str) -> None:
    await it.create(node_kind.KIND, {"metadata": {"name": name}})
    offered = {"cpu": "8", "memory": "8Gi", "pods": "50"}
    conditions = [{"type": "Ready", "status": "True"}]
    await it.status(node_kind.KIND, name, {"capacity": offered, "allocatable": offered, "conditions": conditions})


async def web(it: World, replicas: int = 4) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    await it.create(replicaset.KIND, {"metadata": {"name": "web"}, "spec": spec})
    await it.until(lambda: sum(where(it).values()) == replicas)


def where(it: World) -> Counter[str]:
    """Nodes of the pods that are ready."""
    return Counter(
        pod["spec"]["nodeName"]
        for pod in it.all(pod_kind.KIND)
        if any(each["status"] == "True" for each in pod["status"].get("conditions", ()) if each["type"] == "Ready")
        and not pod["metadata"].get("deletionTimestamp")
    )


@pytest.fixture
def agents() -> Agents:
    return Agents()


@pytest.fixture
async def it(tmp_path: Path, agents: Agents) -> AsyncIterator[World]:
    """Four pods on the only node."""
    async with world(tmp_path, sets, scheduler, budgets, agents.run) as made:
        await node(made, "n1")
        await web(made)
        yield made


async def test_pods_move_to_a_node_that_came_only_when_somebody_asks(it: World) -> None:
    await node(it, "n2")
    foreseen = await foresee(it.client, "")
    assert "2 pods would move (a dry run: nothing was moved)" in told(foreseen, dry_run=True)
    assert where(it) == {"n1": 4}
    outcome = await rebalance(it.client, "default", Quiet(), SystemClock(), 10)
    assert [(move.source, move.target) for move in outcome.moved] == [("n1", "n2")] * 2
    assert where(it) == {"n1": 2, "n2": 2}
    again = await rebalance(it.client, "", Quiet(), SystemClock(), 10)
    assert told(again, dry_run=False) == "nothing to move: the pods lie as evenly as they can"


async def test_a_budget_that_lets_none_go_is_told_and_kept(it: World) -> None:
    spec = {"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}}
    await it.create(poddisruptionbudget.KIND, {"metadata": {"name": "all"}, "spec": spec})
    await it.until(lambda: (it.get(poddisruptionbudget.KIND, "all") or {}).get("status", {}).get("currentHealthy"))
    await node(it, "n2")
    outcome = await rebalance(it.client, "", Quiet(), SystemClock(), 0.1)
    assert outcome.moved == []
    assert "disruption budget" in told(outcome, dry_run=False)
    assert where(it) == {"n1": 4}


async def test_it_stops_after_a_replacement_that_does_not_become_ready(it: World, agents: Agents) -> None:
    await node(it, "n2")
    agents.broken = True
    with pytest.raises(MotetError, match="what replaces it is not ready"):
        await rebalance(it.client, "", Quiet(), SystemClock(), 1)
    assert sum(where(it).values()) == 3
    outcome = await rebalance(it.client, "", Quiet(), SystemClock(), 1)
    assert "it is not ready" in told(outcome, dry_run=False)
