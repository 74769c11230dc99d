"""Nodes that fall silent, the pods on them, pods without a node, and address ranges."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import NOW, ago, view
from tests.controllers.world import World, world

from motet.base.clock import FakeClock
from motet.controllers.eviction import TaintEviction, due_in
from motet.controllers.nodematch import Toleration
from motet.controllers.nodes import NodeHealth, NodeView, Plan, Taint, believable, decide
from motet.controllers.podcidr import PodCidrs, next_block
from motet.controllers.podgc import PodGarbage, PodGcConfig, surplus
from motet.controllers.podview import PodView
from motet.kinds import lease, namespace, node, pod

UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"


def a_node(ready: str = "True", *, taints: list[dict[str, Any]] | None = None, **spec: Any) -> NodeView:
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": ago(5), "lastTransitionTime": ago(50)}]
    body = {
        "metadata": {"name": "n1", "uid": "u"},
        "spec": {"taints": taints or [], **spec},
        "status": {"conditions": conditions if ready else []},
    }
    return view(NodeView, body)


def keys(plan: Plan) -> set[tuple[str, str]]:
    return {(each.key, each.effect) for each in plan.taints or ()}


def test_a_healthy_node_is_left_alone() -> None:
    assert decide(a_node(), False, NOW) == Plan(None, None)


def test_a_silent_node_becomes_unknown_and_unreachable() -> None:
    plan = decide(a_node(), True, NOW)
    (ready, *others) = plan.conditions or ()
    assert (ready.status, ready.reason) == ("Unknown", "NodeStatusUnknown")
    assert ready.message == "Kubelet stopped posting node status."
    assert {each.reason for each in others} == {"NodeStatusNeverUpdated"}
    assert keys(plan) == {(UNREACHABLE, "NoExecute"), (UNREACHABLE, "NoSchedule")}
    assert plan.went_silent


def test_a_node_that_says_it_is_not_ready_is_tainted_so() -> None:
    assert keys(decide(a_node("False"), False, NOW)) == {(NOT_READY, "NoExecute"), (NOT_READY, "NoSchedule")}


def test_a_node_that_has_not_reported_yet_takes_no_pods_and_loses_none() -> None:
    assert keys(decide(a_node(""), False, NOW)) == {(NOT_READY, "NoSchedule")}


def test_a_node_that_is_back_loses_our_taints_and_keeps_others() -> None:
    taints = [{"key": UNREACHABLE, "effect": "NoExecute"}, {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]
    assert decide(a_node(taints=taints), False, NOW).taints == (Taint("dedicated", "NoSchedule", "gpu"),)


def test_a_cordoned_node_is_tainted_unschedulable() -> None:
    assert keys(decide(a_node(unschedulable=True), False, NOW)) == {("node.kubernetes.io/unschedulable", "NoSchedule")}


@pytest.mark.parametrize(
    ("silent", "nodes", "dead"),
    [
        (1, 1, False),
        (2, 2, False),
        (1, 2, True),
        (2, 3, True),
        (3, 4, False),
        (3, 5, False),
        (3, 6, True),
        (99, 100, False),
    ],
)
def test_that_most_nodes_died_at_once_is_not_believed(silent: int, nodes: int, dead: bool) -> None:
    assert believable(silent, nodes) is dead


def test_pods_of_a_silent_node_stay_when_its_death_is_not_believed() -> None:
    assert keys(decide(a_node(), True, NOW, evict=False)) == {(UNREACHABLE, "NoSchedule")}


@given(
    ready=st.sampled_from(["True", "False", "Unknown", ""]),
    silent=st.booleans(),
    cordoned=st.booleans(),
    evict=st.booleans(),
)
def test_law_a_second_look_changes_nothing(ready: str, silent: bool, cordoned: bool, evict: bool) -> None:
    before = a_node(ready, unschedulable=cordoned)
    plan = decide(before, silent, NOW, evict=evict)
    after = NodeView(
        before.metadata,
        type(before.spec)(plan.taints if plan.taints is not None else before.spec.taints, cordoned),
        type(before.status)(plan.conditions if plan.conditions is not None else before.status.conditions),
    )
    assert decide(after, silent, NOW, evict=evict) == Plan(None, None)


TAINT = Taint(UNREACHABLE, "NoExecute", "", ago(100))


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], 0),
        ([Toleration(key="other", operator="Exists")], 0),
        ([Toleration(operator="Exists")], None),
        ([Toleration(UNREACHABLE, "Exists", "", "NoExecute", 300)], 200),
        ([Toleration(UNREACHABLE, "Exists", "", "NoExecute", 30)], -70),
        ([Toleration(UNREACHABLE, "Exists", "", "NoSchedule", 300)], 0),
        ([Toleration(UNREACHABLE, "Equal", "x")], 0),
        (
            [
                Toleration(operator="Exists", toleration_seconds=300),
                Toleration(operator="Exists", toleration_seconds=150),
            ],
            50,
        ),
    ],
)
def test_a_pod_leaves_when_its_shortest_patience_ends(tolerations: list[Toleration], expected: float | None) -> None:
    assert due_in(tolerations, [TAINT], NOW, NOW) == expected


def test_a_taint_without_a_time_counts_from_when_it_was_seen() -> None:
    toleration = Toleration(operator="Exists", toleration_seconds=60)
    assert due_in([toleration], [Taint("x", "NoExecute")], NOW - timedelta(seconds=20), NOW) == 40


def test_the_oldest_finished_pods_are_the_surplus() -> None:
    pods = [view(PodView, builders.pod(f"p{age}", phase="Failed", age=age)) for age in (10, 30, 20)]
    assert [each.metadata.name for each in surplus(pods, 2)] == ["p30"]


def test_blocks_are_given_from_the_lowest_free_one() -> None:
    assert next_block("10.42.0.0/16", 24, []) == "10.42.0.0/24"
    assert next_block("10.42.0.0/16", 24, ["10.42.0.0/24", "10.42.2.0/24"]) == "10.42.1.0/24"
    assert next_block("10.42.0.0/16", 24, ["10.42.0.0/22"]) == "10.42.4.0/24"
    assert next_block("10.42.0.0/23", 24, ["10.42.0.0/24", "10.42.1.0/24"]) == ""


# On a real kernel, with an hour passing in a moment.


async def registered(it: World, name: str) -> None:
    await it.create(node.KIND, {"metadata": {"name": name}})
    await it.status(node.KIND, name, {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": ago(0)}]})


async def renew(it: World, name: str, second: int) -> None:
    spec = {"holderIdentity": name, "renewTime": f"2026-01-01T00:00:{second:02}.000000Z"}
    document = {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec}
    if it.get(lease.KIND, name, "kube-node-lease"):
        await it.client.patch(lease.KIND, name, {"spec": spec}, "kube-node-lease")
    else:
        await it.create(lease.KIND, document, "kube-node-lease")


async def health(it: World) -> None:
    await NodeHealth(it.client, it.clock, it.events).run()


async def eviction(it: World) -> None:
    await TaintEviction(it.client, it.clock, it.events).run()


async def pod_gc(it: World) -> None:
    await PodGarbage(it.client, it.clock, PodGcConfig(quarantine_seconds=40)).run()


def ready(it: World, name: str) -> str:
    conditions = (it.get(node.KIND, name) or {}).get("status", {}).get("conditions", [])
    return next((each["status"] for each in conditions if each["type"] == "Ready"), "")


async def running(it: World, name: str, on: str, seconds: int = 300) -> None:
    toleration = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
    spec = {"containers": [{"name": "c", "image": "i"}], "tolerations": [toleration]}
    made = await it.create(pod.KIND, {"metadata": {"name": name}, "spec": spec})
    await it.client.bind([("default", name, made.meta.uid, on)])
    await it.status(
        pod.KIND,
        name,
        {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(0)}]},
    )


async def test_a_node_that_stops_renewing_is_marked_and_emptied(tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(tmp_path, health, eviction, clock=clock) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "kube-node-lease"}})
        for name in ("alive", "dead"):
            await registered(it, name)
            await renew(it, name, 0)
        await running(it, "moves", "dead", 300)
        await running(it, "waits", "dead", 5000)
        await running(it, "stays", "alive")
        for second in range(1, 7):
            await clock.advance(9)
            await renew(it, "alive", second)
            await it.until(
                lambda second=second: (
                    (it.get(lease.KIND, "alive", "kube-node-lease") or {})["spec"]["renewTime"][17:19] == f"{second:02}"
                )
            )
        await it.until(lambda: ready(it, "dead") == "Unknown")
        assert ready(it, "alive") == "True"

        def pod_ready(name: str) -> str:
            return str((it.get(pod.KIND, name) or {})["status"]["conditions"][0]["status"])

        await it.until(lambda: pod_ready("moves") == "False")
        assert pod_ready("stays") == "True"
        assert "deletionTimestamp" not in (it.get(pod.KIND, "moves") or {})["metadata"]
        for second in range(7, 47):
            await clock.advance(9)
            await renew(it, "alive", second)
        await it.until(lambda: (it.get(pod.KIND, "moves") or {})["metadata"].get("deletionTimestamp"))
        assert "deletionTimestamp" not in (it.get(pod.KIND, "waits") or {})["metadata"]
        await renew(it, "dead", 50)
        await it.status(
            node.KIND, "dead", {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": ago(1)}]}
        )
        await clock.advance(1)
        await it.until(lambda: not (it.get(node.KIND, "dead") or {})["spec"].get("taints"))


async def test_when_nobody_was_heard_services_keep_their_pods_and_everybody_gets_the_grace_anew(tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(tmp_path, health, eviction, clock=clock) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "kube-node-lease"}})
        for name in ("one", "two"):
            await registered(it, name)
            await renew(it, name, 0)
        await running(it, "serves", "two", 1)
        for _ in range(12):
            await clock.advance(5)
        await it.until(lambda: ready(it, "two") == "Unknown")
        await renew(it, "one", 1)
        for _ in range(7):
            await clock.advance(5)
        pod_now = it.get(pod.KIND, "serves") or {}
        assert pod_now["status"]["conditions"][0]["status"] == "True"
        assert "deletionTimestamp" not in pod_now["metadata"]
        for second in range(2, 6):
            await renew(it, "one", second)
            await clock.advance(5)
        await it.until(lambda: (it.get(pod.KIND, "serves") or {})["metadata"].get("deletionTimestamp"))


async def test_pods_of_a_vanished_node_are_removed_after_the_quarantine(tmp_path: Path) -> None:
    clock = FakeClock()
    async with world(tmp_path, pod_gc, clock=clock) as it:
        await registered(it, "n1")
        await running(it, "orphan", "n1")
        await it.client.delete(node.KIND, "n1")
        await clock.advance(30)
        assert it.get(pod.KIND, "orphan")
        for _ in range(5):
            await clock.advance(10)
        await it.until(lambda: it.get(pod.KIND, "orphan") is None)


async def test_every_node_has_a_block_of_its_own(tmp_path: Path) -> None:
    async def cidrs(it: World) -> None:
        await PodCidrs(it.client, it.clock, it.events).run()

    async with world(tmp_path, cidrs) as it:
        for number in range(5):
            await it.create(node.KIND, {"metadata": {"name": f"n{number}"}})
        blocks = await it.until(
            lambda: (
                (found := {each.get("spec", {}).get("podCIDR") for each in it.all(node.KIND)})
                and None not in found
                and found
            )
        )
        assert blocks == {f"10.42.{number}.0/24" for number in range(5)}


async def test_in_a_dual_stack_cluster_every_node_has_a_block_of_either_family(tmp_path: Path) -> None:
    async def cidrs(it: World) -> None:
        await PodCidrs(it.client, it.clock, it.events, ("10.42.0.0/16", "fd00:42::/56")).run()

    async with world(tmp_path, cidrs) as it:
        for number in range(3):
            await it.create(node.KIND, {"metadata": {"name": f"n{number}"}})
        blocks = await it.until(
            lambda: (
                (found := {tuple(each.get("spec", {}).get("podCIDRs", ())) for each in it.all(node.KIND)})
                and () not in found
                and found
            )
        )
        seconds = ("fd00:42::/64", "fd00:42:0:1::/64", "fd00:42:0:2::/64")
        assert blocks == {(f"10.42.{number}.0/24", second) for number, second in enumerate(seconds)}
