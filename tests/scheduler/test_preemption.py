"""Who has to go so that a pod of higher priority fits."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.builders import classified, container, node, pod, snapshot

from motet.scheduler import preemption
from motet.scheduler.classes import PodClass
from motet.scheduler.place import explain, suits
from motet.scheduler.preemption import Eviction, Occupant
from motet.scheduler.snapshot import Snapshot

NONE: dict[str, int] = {}


def of(priority: int, cpu: str = "1", **spec: Any) -> PodClass:
    return classified(pod(containers=[container(cpu=cpu)], priority=priority, **spec))


class Cluster:
    """Nodes, and who is on them by name."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.snapshot: Snapshot = snapshot(*nodes)
        self.there: dict[str, list[Occupant]] = {}

    def put(self, name: str, on: str, pod_class: PodClass, started: str = "", budgets: tuple[str, ...] = ()) -> None:
        self.there.setdefault(on, []).append(Occupant(name, pod_class, started, budgets))
        self.snapshot.add(on, pod_class)

    def decide(self, pod_class: PodClass, allowances: dict[str, int] = NONE) -> Eviction | None:
        return preemption.decide(self.snapshot, pod_class, (), lambda name: self.there.get(name, ()), allowances)

    def victims(self, pod_class: PodClass, allowances: dict[str, int] = NONE) -> set[str]:
        found = self.decide(pod_class, allowances)
        return {each.uid for each in found.victims} if found else set()


def test_the_least_important_that_make_enough_room_go() -> None:
    cluster = Cluster(node("n1", cpu="3"))
    for name, priority in (("a", 3), ("b", 1), ("c", 2)):
        cluster.put(name, "n1", of(priority))
    assert cluster.victims(of(9)) == {"b"}
    assert cluster.victims(of(9, cpu="2")) == {"b", "c"}


def test_equals_are_left_alone() -> None:
    cluster = Cluster(node("n1", cpu="1"))
    cluster.put("a", "n1", of(5))
    assert cluster.decide(of(5)) is None


def test_where_evicting_cannot_help_nobody_goes() -> None:
    cluster = Cluster(node("n1", cpu="1", labels={"disk": "hdd"}))
    cluster.put("a", "n1", of(0))
    assert cluster.decide(of(9, cpu="2")) is None
    assert cluster.decide(of(9, nodeSelector={"disk": "ssd"})) is None


def test_the_node_with_the_lower_victims_is_chosen() -> None:
    cluster = Cluster(node("n1", cpu="1"), node("n2", cpu="1"))
    cluster.put("a", "n1", of(4))
    cluster.put("b", "n2", of(3))
    assert cluster.victims(of(9)) == {"b"}


def test_of_like_victims_the_youngest_goes() -> None:
    cluster = Cluster(node("n1", cpu="1"), node("n2", cpu="1"))
    cluster.put("old", "n1", of(0), started="2026-01-01T00:00:00Z")
    cluster.put("young", "n2", of(0), started="2026-02-01T00:00:00Z")
    assert cluster.victims(of(9)) == {"young"}


def test_a_budget_is_spared_where_there_is_another_way() -> None:
    cluster = Cluster(node("n1", cpu="2"))
    cluster.put("covered", "n1", of(0), budgets=("web",))
    cluster.put("free", "n1", of(1))
    assert cluster.victims(of(9), {"web": 0}) == {"free"}
    assert cluster.victims(of(9), {"web": 1}) == {"covered"}
    assert cluster.victims(of(9, cpu="2"), {"web": 0}) == {"covered", "free"}


def test_those_on_their_way_out_need_not_be_told_again() -> None:
    leaving = pod(containers=[container(cpu="1")], priority=0)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster = Cluster(node("n1", cpu="2"))
    cluster.put("leaving", "n1", classified(leaving))
    cluster.put("staying", "n1", of(0))
    found = cluster.decide(of(9))
    assert found == Eviction("n1", ())


def test_a_pod_that_is_kept_away_by_another_has_it_evicted() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    cluster = Cluster(node("n1"))
    cluster.put("db", "n1", classified(pod(labels={"app": "db"}, priority=0)))
    cluster.put("other", "n1", of(0))
    assert cluster.victims(classified(pod(priority=9, affinity=apart))) == {"db"}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(1, 3)), max_size=8),
    st.integers(1, 4),
    st.integers(0, 4),
)
def test_the_victims_are_enough_and_none_of_them_is_too_many(
    there: list[tuple[int, int, int]], cpu: int, priority: int
) -> None:
    cluster = Cluster(node("n0", cpu="6"), node("n1", cpu="6"))
    for number, (where, each, amount) in enumerate(there):
        cluster.put(f"p{number}", f"n{where}", of(each, cpu=str(amount)))
    wanted = of(priority, cpu=str(cpu))
    before = cluster.snapshot.used.copy()
    found = cluster.decide(wanted)
    assert (cluster.snapshot.used == before).all()
    if found is None:
        return
    row = cluster.snapshot.row(found.node)
    for victim in found.victims:
        assert victim.pod_class.priority < priority
        cluster.snapshot.remove(found.node, victim.pod_class)
    assert suits(cluster.snapshot, wanted, row)
    for victim in found.victims:
        cluster.snapshot.add(found.node, victim.pod_class)
        assert not suits(cluster.snapshot, wanted, row)
        cluster.snapshot.remove(found.node, victim.pod_class)
    assert explain(cluster.snapshot, wanted).nodes == 2
