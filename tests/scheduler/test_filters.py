"""Each filter, and the words it refuses with."""

from __future__ import annotations

from typing import Any

import pytest
from tests.scheduler.builders import classified, container, node, pod, snapshot

from motet.scheduler import filters
from motet.scheduler.place import explain, place
from motet.scheduler.views import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, TopologyRequirement
from motet.scheduler.views import TopologyTerm as Term


def refusal(spec: dict[str, Any], *nodes: dict[str, Any]) -> str:
    return str(place(snapshot(*nodes), classified(pod(**spec)), 1).refusal or "")


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    selector = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}}


MISMATCH = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."


def test_no_nodes_at_all_are_said_so() -> None:
    assert refusal({}) == "no nodes available to schedule pods"


def test_a_cordoned_node_is_left_alone() -> None:
    assert refusal({}, node(unschedulable=True)) == "0/1 nodes are available: 1 node(s) were unschedulable."


def test_who_tolerates_the_cordon_may_enter() -> None:
    toleration = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}
    assert not refusal({"tolerations": [toleration]}, node(unschedulable=True))


def test_node_selectors_must_match_in_full() -> None:
    labelled = node(labels={"disk": "ssd"})
    assert not refusal({"nodeSelector": {"disk": "ssd"}}, labelled)
    assert refusal({"nodeSelector": {"disk": "ssd", "zone": "a"}}, labelled) == MISMATCH


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (expression("zone", "In", "a", "b"), True),
        (expression("zone", "In", "c"), False),
        (expression("absent", "In", "a"), False),
        (expression("zone", "NotIn", "c"), True),
        (expression("zone", "NotIn", "a"), False),
        (expression("absent", "NotIn", "a"), True),
        (expression("zone", "Exists"), True),
        (expression("absent", "Exists"), False),
        (expression("zone", "DoesNotExist"), False),
        (expression("absent", "DoesNotExist"), True),
        (expression("cores", "Gt", "7"), True),
        (expression("cores", "Gt", "8"), False),
        (expression("cores", "Lt", "9"), True),
        (expression("zone", "Gt", "1"), False),
        (expression("absent", "Lt", "1"), False),
    ],
)
def test_affinity_operators(wanted: dict[str, Any], fits: bool) -> None:
    found = refusal(required({"matchExpressions": [wanted]}), node(labels={"zone": "a", "cores": "8"}))
    assert found == ("" if fits else MISMATCH)


def test_affinity_terms_are_alternatives_and_their_expressions_are_not() -> None:
    labelled = node(labels={"zone": "a"})
    yes, no = expression("zone", "In", "a"), expression("zone", "In", "b")
    assert not refusal(required({"matchExpressions": [no]}, {"matchExpressions": [yes]}), labelled)
    assert refusal(required({"matchExpressions": [yes, no]}), labelled) == MISMATCH


def test_an_empty_affinity_term_matches_nothing() -> None:
    assert refusal(required({}), node()) == MISMATCH


def test_affinity_can_name_a_node() -> None:
    wanted = required({"matchFields": [expression("metadata.name", "In", "n2")]})
    assert place(snapshot(node("n1"), node("n2")), classified(pod(**wanted)), 1).nodes == ["n2"]


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "enters"),
    [
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "cpu", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations(toleration: dict[str, Any], enters: bool) -> None:
    found = refusal({"tolerations": [toleration]}, node(taints=[TAINT]))
    assert found == ("" if enters else "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.")


def test_a_taint_that_only_prefers_refuses_nobody_but_comes_last() -> None:
    shy = node("shy", taints=[{"key": "a", "effect": "PreferNoSchedule"}])
    assert not refusal({}, shy)
    assert place(snapshot(shy, node("open")), classified(), 1).nodes == ["open"]


def test_a_host_port_is_given_once_per_node() -> None:
    nodes = snapshot(node("n1"), node("n2"))
    batch = place(nodes, classified(pod(containers=[container(host_port=80)])), 3)
    assert sorted(batch.nodes) == ["n1", "n2"]
    expected = "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."
    assert str(batch.refusal) == expected


@pytest.mark.parametrize(
    ("held", "wanted", "clash"),
    [("", "10.0.0.1", True), ("0.0.0.0", "10.0.0.1", True), ("10.0.0.1", "10.0.0.2", False), ("10.0.0.1", "", True)],
)
def test_host_ports_of_different_addresses_live_side_by_side(held: str, wanted: str, clash: bool) -> None:
    nodes = snapshot(node())
    place(nodes, classified(pod(containers=[container(host_port=80, host_ip=held)])), 1)
    second = place(nodes, classified(pod(containers=[container(host_port=80, host_ip=wanted)])), 1)
    assert (second.refusal is not None) is clash


def test_a_resource_that_no_node_has_is_insufficient_everywhere() -> None:
    found = refusal({"requests": {"example.com/gpu": "1"}}, node("n1"), node("n2"))
    assert found == "0/2 nodes are available: 2 Insufficient example.com/gpu."


def test_extended_resources_are_counted() -> None:
    nodes = snapshot(node("n1"), node("n2", **{"example.com/gpu": "2"}))
    batch = place(nodes, classified(pod(requests={"example.com/gpu": "1"})), 3)
    assert batch.nodes == ["n2", "n2"]
    assert str(batch.refusal) == "0/2 nodes are available: 2 Insufficient example.com/gpu."


def test_reasons_are_counted_and_sorted_as_upstream_does() -> None:
    nodes = [node(f"small-{i}", cpu="1", memory="1Gi") for i in range(10)]
    nodes += [node("full", pods="0"), node("away", unschedulable=True), node("tainted", taints=[TAINT])]
    assert refusal({"requests": {"cpu": "2", "memory": "2Gi"}}, *nodes) == (
        "0/13 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint {gpu: yes}, "
        "1 node(s) were unschedulable, 10 Insufficient cpu, 10 Insufficient memory."
    )


def _zone(name: str) -> NodeSelector:
    requirement = NodeSelectorRequirement("zone", "In", (name,))
    return NodeSelector((NodeSelectorTerm(match_expressions=(requirement,)),))


def test_volumes_hold_a_pod_where_they_can_be_reached() -> None:
    nodes = snapshot(node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}))
    assert place(nodes, classified(), 1, [filters.volumes([_zone("b")])]).nodes == ["n2"]
    both = explain(nodes, classified(), [filters.volumes([_zone("a"), _zone("b")])])
    assert str(both) == "0/2 nodes are available: 2 node(s) had volume node affinity conflict."


def test_a_claim_is_bound_where_a_volume_for_it_can_be_reached() -> None:
    nodes = snapshot(node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}))
    assert place(nodes, classified(), 1, [filters.bindable([_zone("b"), _zone("c")])]).nodes == ["n2"]
    assert place(nodes, classified(), 1, [filters.bindable([_zone("c"), None])]).nodes
    none = explain(nodes, classified(), [filters.bindable([])])
    assert str(none) == "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."


def test_a_storage_class_can_be_for_some_places_only() -> None:
    nodes = snapshot(node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"}))
    allowed = (Term((TopologyRequirement("zone", ("b", "c")),)),)
    assert place(nodes, classified(), 1, [filters.topology(allowed)]).nodes == ["n2"]
