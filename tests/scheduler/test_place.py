"""Scores, and laws of placing and counting."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.builders import classified, container, document, node, pod, snapshot

from motet.scheduler.classes import Classes, PodClass
from motet.scheduler.place import explain, place
from motet.scheduler.snapshot import Snapshot


def test_an_owners_pods_are_spread() -> None:
    batch = place(snapshot(node("n1"), node("n2"), node("n3")), classified(pod(owner="web")), 6)
    assert Counter(batch.nodes) == {"n1": 2, "n2": 2, "n3": 2}


def test_the_emptier_node_comes_first() -> None:
    nodes = snapshot(node("n1"), node("n2"))
    assert place(nodes, classified(pod(requests={"cpu": "2"})), 1).nodes == ["n1"]
    assert place(nodes, classified(pod(requests={"cpu": "1"})), 1).nodes == ["n2"]


def test_room_is_measured_by_what_is_scarcer() -> None:
    nodes = snapshot(node("little-memory", memory="2Gi", cpu="64"), node("little-cpu", cpu="2", memory="256Gi"))
    assert place(nodes, classified(pod(requests={"memory": "1Gi", "cpu": "100m"})), 1).nodes == ["little-cpu"]
    assert place(nodes, classified(pod(requests={"memory": "1Mi", "cpu": "1500m"})), 1).nodes == ["little-memory"]


def test_preferred_affinity_draws_by_weight() -> None:
    terms = [
        {"weight": weight, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}}
        for weight, zone in ((10, "a"), (90, "b"))
    ]
    wish = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    nodes = snapshot(node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}), node("n3"))
    assert place(nodes, classified(pod(affinity=wish)), 1).nodes == ["n2"]


def test_a_large_image_that_is_there_already_draws() -> None:
    bodies = [node(f"n{i}") for i in range(3)]
    bodies[2]["status"]["images"] = [{"names": ["example.com/big:latest"], "sizeBytes": 900 * 2**20}]
    big = [{"name": "c", "image": "example.com/big"}]
    nodes = snapshot(*bodies)
    assert place(nodes, classified(pod(containers=big)), 1).nodes == ["n2"]
    nodes.set_node(document("core/nodes", node("n2")))
    nodes.add("n2", classified(pod(containers=big)))
    assert place(nodes, classified(pod(owner="web", containers=big)), 1).nodes == ["n0"]


def test_what_was_remembered_of_a_node_is_forgotten_when_its_labels_change() -> None:
    nodes = snapshot(node("n1"))
    picky = classified(pod(nodeSelector={"disk": "ssd"}))
    assert place(nodes, picky, 1).nodes == []
    nodes.set_node(document("core/nodes", node("n1", labels={"disk": "ssd"})))
    assert place(nodes, picky, 1).nodes == ["n1"]


def test_a_heartbeat_is_no_change_and_more_room_is_one() -> None:
    nodes = snapshot(node("n1"))
    assert not nodes.set_node(document("core/nodes", node("n1")))
    assert nodes.set_node(document("core/nodes", node("n1", cpu="8")))
    assert nodes.set_node(document("core/nodes", node("n1", cpu="8", **{"example.com/gpu": "1"})))


def test_a_node_that_comes_back_still_has_its_pods() -> None:
    nodes = snapshot(node("n1", pods="2"))
    small = classified(pod(owner="web", requests={"cpu": "1"}))
    assert len(place(nodes, small, 2).nodes) == 2
    nodes.remove_node("n1")
    assert str(explain(nodes, small)) == "no nodes available to schedule pods"
    nodes.set_node(document("core/nodes", node("n1", pods="3")))
    assert len(place(nodes, small, 2).nodes) == 1


def test_pods_may_come_before_their_node() -> None:
    nodes = Snapshot()
    large = classified(pod(requests={"cpu": "3"}))
    nodes.add("n1", large)
    nodes.set_node(document("core/nodes", node("n1")))
    assert place(nodes, large, 1).nodes == []


# Laws

_RESOURCES = ("cpu", "memory", "pods", "example.com/gpu")
_amount = st.integers(0, 5)
_zones = st.sampled_from(["a", "b"])


@st.composite
def _nodes(draw: st.DrawFn) -> list[dict[str, Any]]:
    count = draw(st.integers(0, 5))
    return [
        node(
            f"n{i}",
            cpu=str(draw(_amount)),
            memory=str(draw(_amount)),
            pods=str(draw(_amount)),
            labels={"zone": draw(_zones)},
            unschedulable=draw(st.integers(0, 5)) == 0,
            taints=draw(st.sampled_from([(), (), ({"key": "t", "effect": "NoSchedule"},)])),
            **({"example.com/gpu": str(draw(_amount))} if draw(st.booleans()) else {}),
        )
        for i in range(count)
    ]


@st.composite
def _pods(draw: st.DrawFn) -> dict[str, Any]:
    requests = {name: str(draw(st.integers(0, 2))) for name in ("cpu", "memory", "example.com/gpu")}
    if draw(st.integers(0, 2)):
        del requests["example.com/gpu"]
    spec: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        spec["nodeSelector"] = {"zone": draw(_zones)}
    if draw(st.booleans()):
        spec["tolerations"] = [{"operator": "Exists"}]
    port = draw(st.sampled_from([0, 0, 0, 80]))
    body = container(host_port=port, **requests)
    return pod(owner=draw(st.sampled_from(["web", "db"])), containers=[body], **spec)


_batches = st.lists(st.tuples(_pods(), st.integers(1, 8)), max_size=5)


def _overcommitted(nodes: Snapshot) -> bool:
    rows = [row for row, _ in nodes.named()]
    return bool((nodes.used[rows] > nodes.allocatable[rows]).any())


@settings(max_examples=150, deadline=None)
@given(_nodes(), _batches)
def test_nothing_is_ever_overcommitted(nodes: list[dict[str, Any]], batches: list[tuple[dict[str, Any], int]]) -> None:
    cluster, classes = snapshot(*nodes), Classes()
    for body, count in batches:
        batch = place(cluster, classes.of(document("core/pods", body)), count)
        assert not _overcommitted(cluster)
        assert all(port == 1 for _, found in cluster.named() for port in found.ports.values())
        assert (len(batch.nodes) == count) is (batch.refusal is None)


@settings(max_examples=150, deadline=None)
@given(_nodes(), _batches)
def test_a_batch_is_the_same_as_one_after_the_other(
    nodes: list[dict[str, Any]], batches: list[tuple[dict[str, Any], int]]
) -> None:
    together, apart, classes = snapshot(*nodes), snapshot(*nodes), Classes()
    for body, count in batches:
        pod_class = classes.of(document("core/pods", body))
        batch = place(together, pod_class, count)
        single = [name for _ in range(count) for name in place(apart, pod_class, 1).nodes]
        assert list(batch.nodes) == single
        assert np.array_equal(together.used, apart.used)


def _exhaustive(cluster: Snapshot, pod_class: PodClass, bodies: dict[str, dict[str, Any]], left: Any) -> bool:
    """Whether any node at all could take one more, decided the slow way from the documents."""
    for name, body in bodies.items():
        if pod_class.node_selector.get("zone") not in (None, body["metadata"]["labels"]["zone"]):
            continue
        if not pod_class.tolerations and (body["spec"]["unschedulable"] or body["spec"]["taints"]):
            continue
        if pod_class.host_ports and left[name]["port"] == 0:
            continue
        if all(left[name].get(resource, 0) >= amount for resource, amount in pod_class.requests.items() if amount):
            return True
    return False


@settings(max_examples=150, deadline=None)
@given(_nodes(), _batches)
def test_a_pod_waits_only_when_an_exhaustive_search_finds_no_place_either(
    nodes: list[dict[str, Any]], batches: list[tuple[dict[str, Any], int]]
) -> None:
    cluster, classes = snapshot(*nodes), Classes()
    bodies = {body["metadata"]["name"]: body for body in nodes}
    left = {
        name: {
            **{resource: int(amount) for resource, amount in body["status"]["allocatable"].items()},
            "cpu": int(body["status"]["allocatable"]["cpu"]) * 1000,
            "port": 1,
        }
        for name, body in bodies.items()
    }
    for body, count in batches:
        pod_class = classes.of(document("core/pods", body))
        for _ in range(count):
            possible = _exhaustive(cluster, pod_class, bodies, left)
            placed = place(cluster, pod_class, 1).nodes
            assert bool(placed) is possible
            for name in placed:
                for resource, amount in pod_class.requests.items():
                    if amount:
                        left[name][resource] -= amount
                left[name]["port"] -= bool(pod_class.host_ports)


@settings(max_examples=100, deadline=None)
@given(_nodes(), _pods())
def test_every_node_that_refuses_is_counted(nodes: list[dict[str, Any]], body: dict[str, Any]) -> None:
    body["spec"]["containers"] = [container(cpu="9")]  # so much that each node that passes the filters lacks just this
    for each in nodes:
        each["status"]["allocatable"]["pods"] = "9"
    refusal = explain(snapshot(*nodes), classified(body))
    assert sum(count for _, count in refusal.reasons) == refusal.nodes == len(nodes)


_events = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove", "batch", "node", "lose"]), st.integers(0, 3), st.integers(0, 3)),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(_events)
def test_the_books_are_those_of_a_snapshot_made_anew(events: list[tuple[str, int, int]]) -> None:
    classes = Classes()
    kinds = [
        classes.of(document("core/pods", pod(owner=f"o{i % 2}", containers=[container(cpu=str(i), host_port=port)])))
        for i, port in enumerate((0, 0, 80, 81))
    ]
    cluster, alive, counted = Snapshot(), {}, []  # type: ignore[var-annotated]
    for what, which, other in events:
        name, pod_class = f"n{which}", kinds[other]
        if what == "add":
            cluster.add(name, pod_class)
            counted.append((name, pod_class))
        elif what == "remove" and counted:
            cluster.remove(*counted.pop(which % len(counted)))
        elif what == "batch":
            counted.extend((placed, pod_class) for placed in place(cluster, pod_class, which + 1).nodes)
        elif what == "node":
            alive[name] = node(name, cpu=str(other * 4), labels={"v": str(other)})
            cluster.set_node(document("core/nodes", alive[name]))
        elif what == "lose":
            alive.pop(name, None)
            cluster.remove_node(name)
    anew = snapshot(*alive.values())
    for name, pod_class in counted:
        anew.add(name, pod_class)
    assert len(cluster) == len(anew) == len(alive)
    for name in alive:
        here, there = cluster.row(name), anew.row(name)
        assert cluster.used[here].tolist() == anew.used[there].tolist()
        assert cluster.scored[here].tolist() == anew.scored[there].tolist()
        assert cluster.allocatable[here].tolist() == anew.allocatable[there].tolist()
        assert cluster.nodes[here] == anew.nodes[there]
        for owner in ("o0", "o1"):
            assert cluster.owned(owner)[here] == anew.owned(owner)[there]
