"""Being near, far, and spread: examples, and a plain reading of the rules that every placement is held to."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.builders import classified, container, document, node, pod, snapshot

from motet.scheduler.classes import Classes
from motet.scheduler.place import explain, place
from motet.scheduler.snapshot import Snapshot

Json = dict[str, Any]
HOST, ZONE = "kubernetes.io/hostname", "zone"


def term(key: str, app: str, **more: Any) -> Json:
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}


def near(*terms: Json) -> Json:
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def far(*terms: Json) -> Json:
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def liked(kind: str, *terms: Json) -> Json:
    weighted = [{"weight": 100, "podAffinityTerm": each} for each in terms]
    return {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}}


def spread(key: str, app: str, skew: int = 1, *, hard: bool = True, **more: Any) -> Json:
    rule = {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": app}},
        **more,
    }
    return {"topologySpreadConstraints": [rule]}


def zones(**count: int) -> Snapshot:
    """`zones(a=2, b=1)`: nodes a0, a1 and b0."""
    return snapshot(*(node(f"{zone}{i}", labels={ZONE: zone}) for zone, many in count.items() for i in range(many)))


def put(cluster: Snapshot, app: str, *nodes: str, namespace: str = "default", **spec: Any) -> None:
    for name in nodes:
        cluster.add(name, classified(pod(labels={"app": app}, namespace=namespace, **spec)))


def placed(cluster: Snapshot, count: int = 1, app: str = "web", **spec: Any) -> list[str]:
    return list(place(cluster, classified(pod(labels={"app": app}, **spec)), count).nodes)


def test_anti_affinity_puts_one_on_each_node_and_leaves_the_rest() -> None:
    cluster = zones(a=3)
    assert sorted(placed(cluster, 5, **far(term(HOST, "web")))) == ["a0", "a1", "a2"]
    refusal = explain(cluster, classified(pod(labels={"app": "web"}, **far(term(HOST, "web")))))
    assert "3 node(s) didn't match pod anti-affinity rules" in str(refusal)


def test_pods_that_are_there_keep_others_away() -> None:
    cluster = zones(a=1, b=1)
    put(cluster, "loner", "a0", **far(term(ZONE, "web")))
    assert placed(cluster, 3) == ["b0", "b0", "b0"]
    put(cluster, "loner", "b0", **far(term(ZONE, "web")))
    refusal = explain(cluster, classified(pod(labels={"app": "web"})))
    assert "2 node(s) didn't satisfy existing pods anti-affinity rules" in str(refusal)


def test_affinity_follows_the_pods_it_names() -> None:
    cluster = zones(a=2, b=2)
    put(cluster, "db", "b1")
    assert set(placed(cluster, 3, **near(term(ZONE, "db")))) <= {"b0", "b1"}
    assert placed(cluster, 1, **near(term(HOST, "db"))) == ["b1"]


def test_the_first_of_pods_that_want_each_other_may_go_anywhere_and_the_rest_follow() -> None:
    cluster = zones(a=2, b=2)
    assert len({name[0] for name in placed(cluster, 4, **near(term(ZONE, "web")))}) == 1


def test_affinity_to_nobody_waits() -> None:
    assert placed(zones(a=1), **near(term(HOST, "db"))) == []


def test_terms_look_into_the_namespaces_they_name() -> None:
    cluster = zones(a=1, b=1)
    cluster.namespaces.update(default={}, other={"team": "x"})
    put(cluster, "db", "b0", namespace="other")
    assert placed(cluster, **near(term(ZONE, "db"))) == []
    assert placed(cluster, **near(term(ZONE, "db", namespaces=["other"]))) == ["b0"]
    assert placed(cluster, **near(term(ZONE, "db", namespaceSelector={"matchLabels": {"team": "x"}}))) == ["b0"]
    assert placed(cluster, **near(term(ZONE, "db", namespaceSelector={}))) == ["b0"]


def test_match_label_keys_tell_versions_apart() -> None:
    cluster = zones(a=1, b=1)
    rule = far(term(HOST, "web", matchLabelKeys=["version"]))
    for name, version in (("a0", "1"), ("b0", "2")):
        cluster.add(name, classified(pod(labels={"app": "web", "version": version})))
    new = classified(pod(labels={"app": "web", "version": "2"}, **rule))
    assert place(cluster, new, 1).nodes == ["a0"]


def test_a_hard_spread_is_never_more_uneven_than_allowed() -> None:
    found = Counter(name[0] for name in placed(zones(a=3, b=1, c=1), 12, **spread(ZONE, "web")))
    assert max(found.values()) - min(found.values()) <= 1


def test_a_node_without_the_label_is_no_place_for_a_hard_spread() -> None:
    cluster = snapshot(node("n1"))
    refusal = explain(cluster, classified(pod(labels={"app": "web"}, **spread(ZONE, "web"))))
    assert str(refusal) == (
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."
    )


def test_too_few_domains_count_as_an_empty_one_more() -> None:
    assert len(placed(zones(a=1, b=1), 9, **spread(ZONE, "web", minDomains=3))) == 2


def test_pods_on_their_way_out_are_not_spread_among() -> None:
    cluster = zones(a=1, b=1)
    leaving = pod(labels={"app": "web"})
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    for _ in range(3):
        cluster.add("a0", classified(leaving))
    assert Counter(placed(cluster, 4, **spread(ZONE, "web"))) == {"a0": 2, "b0": 2}


def test_nodes_the_pod_may_not_use_are_no_places_to_spread_over() -> None:
    cluster = zones(a=1, b=1)
    assert placed(cluster, 3, nodeSelector={ZONE: "a"}, **spread(ZONE, "web")) == ["a0"] * 3
    ignoring = spread(ZONE, "web", nodeAffinityPolicy="Ignore")
    assert placed(zones(a=1, b=1), 3, nodeSelector={ZONE: "a"}, **ignoring) == ["a0"]


def test_taints_count_when_the_rule_says_so() -> None:
    tainted = node("b0", labels={ZONE: "b"}, taints=[{"key": "t", "effect": "NoSchedule"}])
    nodes = [node("a0", labels={ZONE: "a"}), tainted]
    assert len(placed(snapshot(*nodes), 3, **spread(ZONE, "web"))) == 1
    assert len(placed(snapshot(*nodes), 3, **spread(ZONE, "web", nodeTaintsPolicy="Honor"))) == 3


def test_a_soft_spread_evens_out_and_refuses_nobody() -> None:
    cluster = zones(a=1, b=1)
    put(cluster, "web", "a0", "a0")
    assert placed(cluster, 2, **spread(ZONE, "web", hard=False)) == ["b0", "b0"]
    assert len(placed(cluster, 4, nodeSelector={ZONE: "a"}, **spread(ZONE, "web", hard=False))) == 4


@pytest.mark.parametrize(("kind", "goes"), [("podAffinity", "a0"), ("podAntiAffinity", "b0")])
def test_wishes_draw_and_push_away(kind: str, goes: str) -> None:
    cluster = zones(a=1, b=1)
    put(cluster, "db", "a0")
    assert placed(cluster, **liked(kind, term(HOST, "db"))) == [goes]


def test_wishes_of_pods_that_are_there_count_too() -> None:
    cluster = zones(a=1, b=1)
    put(cluster, "db", "b0", **liked("podAffinity", term(HOST, "web")))
    assert placed(cluster) == ["b0"]


# Laws, against a plain reading of the rules

APPS, KEYS = ("web", "db"), (HOST, ZONE)
_terms = st.builds(term, st.sampled_from(KEYS), st.sampled_from(APPS))


@st.composite
def _specs(draw: st.DrawFn) -> Json:
    spec: Json = {}
    affinity: Json = {}
    if draw(st.booleans()):
        affinity |= near(*draw(st.lists(_terms, min_size=1, max_size=2)))["affinity"]
    if draw(st.booleans()):
        affinity |= far(*draw(st.lists(_terms, min_size=1, max_size=2)))["affinity"]
    if affinity:
        spec["affinity"] = affinity
    if draw(st.booleans()):
        spec |= spread(draw(st.sampled_from(KEYS)), draw(st.sampled_from(APPS)), draw(st.integers(1, 2)))
    return pod(labels={"app": draw(st.sampled_from(APPS))}, containers=[container()], **spec)


def _app(body: Json) -> str:
    return str(body["metadata"]["labels"]["app"])


def _required(body: Json, kind: str) -> list[Json]:
    found = body["spec"].get("affinity", {}).get(kind, {})
    return list(found.get("requiredDuringSchedulingIgnoredDuringExecution", []))


def _means(rule: Json, body: Json) -> bool:
    return bool(rule["labelSelector"]["matchLabels"]["app"] == _app(body))


def _domain(nodes: dict[str, Json], name: str, rule: Json) -> str | None:
    found: str | None = nodes[name]["metadata"]["labels"].get(rule["topologyKey"])
    return found


def fits(nodes: dict[str, Json], there: list[tuple[Json, str]], body: Json, name: str) -> bool:
    """The rules, word by word, for one pod and one node."""
    around = lambda rule: [each for each, where in there if _domain(nodes, where, rule) == _domain(nodes, name, rule)]  # noqa: E731
    wanted = _required(body, "podAffinity")
    company = [(each, where) for each, where in there if all(_means(rule, each) for rule in wanted)]
    labelled = [(each, where) for each, where in company if any(_domain(nodes, where, rule) for rule in wanted)]
    for rule in wanted:
        if _domain(nodes, name, rule) is None:
            return False
        here = [each for each, where in company if _domain(nodes, where, rule) == _domain(nodes, name, rule)]
        if not here and (labelled or not all(_means(each, body) for each in wanted)):
            return False
    for rule in _required(body, "podAntiAffinity"):
        if _domain(nodes, name, rule) is not None and any(_means(rule, each) for each in around(rule)):
            return False
    for each, where in there:
        for rule in _required(each, "podAntiAffinity"):
            domain = _domain(nodes, where, rule)
            if domain is not None and domain == _domain(nodes, name, rule) and _means(rule, body):
                return False
    for rule in body["spec"].get("topologySpreadConstraints", ()):
        counts = {_domain(nodes, each, rule): 0 for each in nodes if _domain(nodes, each, rule) is not None}
        if _domain(nodes, name, rule) is None:
            return False
        for each, where in there:
            if _means(rule, each) and _domain(nodes, where, rule) is not None:
                counts[_domain(nodes, where, rule)] += 1
        mine = counts[_domain(nodes, name, rule)] + _means(rule, body)
        if mine - min(counts.values()) > rule["maxSkew"]:
            return False
    return True


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4),
    st.lists(st.tuples(_specs(), st.integers(1, 3)), max_size=4),
)
def test_a_pod_goes_exactly_where_a_plain_reading_of_the_rules_lets_it(
    labels: list[str], batches: list[tuple[Json, int]]
) -> None:
    # Room for all pods on any one node: only the rules about neighbours are to decide.
    bodies = [node(f"n{i}", pods="12", labels={ZONE: zone} if zone else {}) for i, zone in enumerate(labels)]
    nodes = {body["metadata"]["name"]: body for body in bodies}
    cluster, classes, there = snapshot(*bodies), Classes(), []  # type: ignore[var-annotated]
    for body, count in batches:
        pod_class = classes.of(document("core/pods", body))
        batch = place(cluster, pod_class, count)
        for name in batch.nodes:
            assert fits(nodes, there, body, name)
            there.append((body, name))
        if len(batch.nodes) < count:
            assert not any(fits(nodes, there, body, name) for name in nodes)
            assert sum(number for _, number in explain(cluster, pod_class).reasons) == len(nodes)
