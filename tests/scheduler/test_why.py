"""Every node is heard, with every reason."""

from __future__ import annotations

from tests.scheduler.builders import classified, container, node, pod, snapshot

from motet.scheduler.place import place
from motet.scheduler.why import Lack, verdicts


def test_a_node_tells_all_that_speaks_against_it() -> None:
    nodes = snapshot(node("n1", cpu="1", unschedulable=True, labels={"disk": "hdd"}))
    (found,) = verdicts(nodes, classified(pod(containers=[container(cpu="2")], nodeSelector={"disk": "ssd"})))
    assert found.reasons == ("node(s) were unschedulable", "node(s) didn't match Pod's node affinity/selector")
    assert found.lacks == (Lack("cpu", 2000, 1000),)


def test_a_resource_that_no_node_has_is_lacking_everywhere() -> None:
    (found,) = verdicts(snapshot(node()), classified(pod(requests={"example.com/gpu": "1"})))
    assert found.lacks == (Lack("example.com/gpu", 1, 0),)


def test_the_best_comes_first_and_is_the_one_that_would_be_chosen() -> None:
    nodes = snapshot(node("small", cpu="2"), node("large", cpu="16"), node("off", unschedulable=True))
    wanted = classified(pod(containers=[container(cpu="1")]))
    found = verdicts(nodes, wanted)
    assert [each.fits for each in found] == [True, True, False]
    assert place(nodes, wanted, 1).nodes == [found[0].node]
    assert found[0].score == round(sum(value for _, value in found[0].parts), 2)


def test_neighbours_are_among_the_reasons() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    wish = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    (found,) = verdicts(snapshot(node()), classified(pod(affinity=wish)))
    assert found.reasons == ("node(s) didn't match pod affinity rules",)
