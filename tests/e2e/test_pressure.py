"""A node that is short of memory: what it says of itself, who has to go, and who may not come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster, Json, until
from e2e.space import Space, pause, pod, shell

CONDITION = "MemoryPressure"
TAINT = "node.kubernetes.io/memory-pressure"


def node(cluster: Cluster) -> Json:
    (found,) = cluster.read("/api/v1/nodes")["items"]
    return found  # type: ignore[no-any-return]


def pressed(cluster: Cluster) -> bool:
    found = node(cluster)
    status = next(each["status"] for each in found["status"]["conditions"] if each["type"] == CONDITION)
    tainted = TAINT in [each["key"] for each in found["spec"].get("taints", [])]
    return status == "True" and tainted


def easy(cluster: Cluster) -> bool:
    found = node(cluster)
    status = next(each["status"] for each in found["status"]["conditions"] if each["type"] == CONDITION)
    return status == "False" and not found["spec"].get("taints")


@pytest.fixture
def short(space: Space) -> Iterator[Space]:
    """Nothing is filled: the node is told to be content with no less than nearly all of its memory."""
    file = space.cluster.machine.data_dir / "kubelet.yaml"
    file.write_text('evictionHard: {memory.available: "99%"}\nevictionPressureTransitionPeriod: 1s\n')
    yield space
    file.unlink()
    space.cluster.begin_anew("agent")
    until(lambda: easy(space.cluster), what="the pressure lasts")


def test_who_takes_more_memory_than_asked_for_goes_and_who_asked_for_none_waits(short: Space):
    space = short
    greedy = shell("dd if=/dev/zero of=/ram/file bs=1M count=24 2>&1; exec pause",
        volumeMounts=[{"name": "ram", "mountPath": "/ram"}])  # fmt: skip
    ram = [{"name": "ram", "emptyDir": {"medium": "Memory"}}]
    modest = pause(resources={"requests": {"memory": "64Mi"}})
    space.apply(pod("greedy", greedy, volumes=ram), pod("modest", modest), pod("dear", pause(), priorityClassName="system-node-critical"))  # fmt: skip
    for name in ("greedy", "modest", "dear"):
        space.running(name)
    until(lambda: "records out" in space.logs("greedy"))
    space.cluster.begin_anew("agent")
    gone = space.wait("pods", "greedy", lambda found: found["status"]["phase"] == "Failed", timeout=90)
    assert gone["status"]["reason"] == "Evicted"
    assert "The node was low on resource: memory" in gone["status"]["message"]
    disrupted = next(each for each in gone["status"]["conditions"] if each["type"] == "DisruptionTarget")
    assert disrupted["reason"] == "TerminationByKubelet"
    assert "The node was low on resource: memory" in space.event("greedy", "Evicted")
    until(lambda: pressed(space.cluster), what="the node does not say so")
    assert space.get("pods", "dear")["status"]["phase"] == "Running"
    space.apply(pod("late", pause()))
    assert "untolerated taint" in space.event("late", "FailedScheduling")
    assert "Evicted" in space.kubectl("describe", "pod", "greedy")
