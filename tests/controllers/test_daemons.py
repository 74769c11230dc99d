"""What a DaemonSet does next, as a plain function of nodes and pods; and the laws that hold whatever happens when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import NOW, view

from motet.controllers import daemons
from motet.controllers.daemons import DaemonSetView, Fit, Plan, Scene
from motet.controllers.daemonset import node_of, pod_of, tied_to, tolerations
from motet.controllers.nodes import NodeView
from motet.controllers.podview import PodView

MINE = builders.owner("DaemonSet", "logs", "ds-logs")


def daemonset(surge: int | str = 0, unavailable: int | str = 1, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "logs"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    return {
        "metadata": {"name": "logs", "namespace": "default", "uid": "ds-logs", "generation": 1},
        "spec": {"template": template, "selector": {}, "updateStrategy": strategy, **spec},
    }


def daemon(node: str = "a", revision: str = "new", **options: Any) -> dict[str, Any]:
    return builders.pod(node=node, labels={"controller-revision-hash": revision}, owned=MINE, **options)


class Tiny:
    """Nodes and their pods; every method is one thing that may happen."""

    def __init__(self, ds: dict[str, Any], fits: dict[str, Fit], pods: list[dict[str, Any]] | None = None) -> None:
        self.ds = ds
        self.fits = fits
        self.pods = pods or []

    def scene(self) -> Scene:
        by_node: dict[str, list[PodView]] = {}
        for pod in self.pods:
            by_node.setdefault(pod["spec"]["nodeName"], []).append(view(PodView, pod))
        return Scene(view(DaemonSetView, self.ds), self.fits, by_node, {"new"}, NOW)

    def plan(self, held: float = 0.0) -> Plan:
        return daemons.decide(self.scene(), lambda node: held)

    def apply(self, limit: int = 99) -> bool:
        """Carry out the first writes of a plan; deleted pods linger until `reap`."""
        plan = self.plan()
        gone = [pod.metadata.uid for pod in plan.delete][:limit]
        for pod in self.pods:
            if pod["metadata"]["uid"] in gone:
                pod["metadata"]["deletionTimestamp"] = builders.ago(0)
        self.pods += [daemon(node, ready=None, age=0) for node in plan.create[: max(0, limit - len(gone))]]
        return bool(plan.create or plan.delete)

    def reap(self) -> None:
        self.pods = [pod for pod in self.pods if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, count: int = 99) -> None:
        for pod in self.pods:
            condition = pod["status"]["conditions"][0]
            if condition["status"] != "True" and count > 0:
                condition["status"] = "True"
                count -= 1

    def run(self) -> None:
        for _ in range(60):
            self.reap()
            self.ready()
            if not self.apply():
                return
        raise AssertionError(f"never rests: {self.plan()}")

    def serving(self) -> int:
        return sum(
            pod["status"]["conditions"][0]["status"] == "True" and "deletionTimestamp" not in pod["metadata"]
            for pod in self.pods
        )

    def nodes_of(self, revision: str) -> list[str]:
        return sorted(p["spec"]["nodeName"] for p in self.pods if revision in p["metadata"]["labels"].values())


def three(ds: dict[str, Any], *pods: dict[str, Any]) -> Tiny:
    return Tiny(ds, dict.fromkeys("abc", Fit.RUN), list(pods))


def names(pods: tuple[PodView, ...]) -> list[str]:
    return [pod.metadata.name for pod in pods]


def test_every_node_that_suits_gets_one() -> None:
    assert three(daemonset(), daemon("b")).plan().create == ("a", "c")


def test_a_node_that_no_longer_suits_loses_its_pod_and_one_that_only_keeps_does_not() -> None:
    tiny = Tiny(daemonset(), {"a": Fit.NONE, "b": Fit.KEEP, "c": Fit.KEEP}, [daemon("a", name="go"), daemon("b")])
    plan = tiny.plan()
    assert (plan.create, names(plan.delete)) == ((), ["go"])


def test_a_second_pod_on_a_node_goes_the_younger_one() -> None:
    plan = three(daemonset(), daemon("a", name="old", age=90), daemon("a", name="young", age=5)).plan()
    assert names(plan.delete) == ["young"]


def test_a_node_waits_until_its_leaving_pod_is_gone() -> None:
    assert three(daemonset(), daemon("a", deleting=True), daemon("b"), daemon("c")).plan().create == ()
    held_by_a_finalizer = daemon("a", deleting=True, phase="Failed")
    assert three(daemonset(), held_by_a_finalizer, daemon("b"), daemon("c")).plan().create == ("a",)


def test_a_failed_pod_is_deleted_when_its_time_has_come() -> None:
    tiny = three(daemonset(), daemon("a", name="broken", phase="Failed"), daemon("b"), daemon("c"))
    assert names(tiny.plan().ended) == ["broken"]
    held = tiny.plan(held=7.0)
    assert (held.delete, held.look_again) == ((), 7.0)


def test_an_unbound_pod_for_a_node_that_is_gone_goes() -> None:
    meant = daemon("", name="meant")
    scene = Scene(view(DaemonSetView, daemonset()), {}, {"gone": [view(PodView, meant)]}, {"new"}, NOW)
    assert names(daemons.decide(scene).delete) == ["meant"]


def test_an_update_replaces_as_many_as_may_be_missing() -> None:
    tiny = three(daemonset(unavailable=2), *(daemon(node, "old") for node in "abc"))
    assert len(tiny.plan().delete) == 2
    tiny.apply()
    assert tiny.plan().delete == ()


def test_old_pods_that_do_not_serve_are_replaced_beyond_the_limit() -> None:
    tiny = three(daemonset(), daemon("a", "old", ready=None), daemon("b", "old", ready=None), daemon("c", "old"))
    assert len(tiny.plan().delete) == 2


def test_on_delete_leaves_old_pods_alone() -> None:
    tiny = three(daemonset(updateStrategy={"type": "OnDelete"}), *(daemon(node, "old") for node in "abc"))
    assert tiny.plan() == Plan()


def test_a_surge_makes_the_new_pod_beside_the_old_one_and_then_ends_that() -> None:
    tiny = three(daemonset(1, 0), *(daemon(node, "old") for node in "abc"))
    assert tiny.plan() == Plan(create=("a",))
    tiny.apply()
    assert tiny.plan() == Plan()
    tiny.ready()
    assert [pod.spec.node_name for pod in tiny.plan().delete] == ["a"]


def test_nothing_happens_to_the_pods_of_a_set_on_its_way_out() -> None:
    ds = daemonset()
    ds["metadata"]["deletionTimestamp"] = builders.ago(1)
    assert three(ds).plan() == Plan()


def test_it_looks_again_when_the_next_pod_becomes_available() -> None:
    assert three(daemonset(minReadySeconds=30), *(daemon(n, ready=10) for n in "abc")).plan().look_again == 20


def test_status_counts_nodes() -> None:
    fits = {"a": Fit.RUN, "b": Fit.RUN, "c": Fit.RUN, "d": Fit.NONE}
    pods = [daemon("a"), daemon("b", "old", ready=None), daemon("d", "old")]
    found = daemons.status(Tiny(daemonset(), fits, pods).scene())
    assert (found.desired_number_scheduled, found.current_number_scheduled, found.number_misscheduled) == (3, 2, 1)
    assert (found.number_ready, found.number_available, found.number_unavailable) == (1, 1, 2)
    assert (found.updated_number_scheduled, found.observed_generation) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Fit.RUN),
        ({"labels": {"kubernetes.io/os": "other"}}, Fit.NONE),
        ({"taints": [{"key": "mine", "effect": "NoSchedule"}]}, Fit.KEEP),
        ({"taints": [{"key": "mine", "effect": "NoExecute"}]}, Fit.NONE),
        ({"taints": [{"key": "mine", "effect": "PreferNoSchedule"}]}, Fit.RUN),
        ({"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}, Fit.RUN),
        ({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}, Fit.RUN),
        ({"taints": [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]}, Fit.KEEP),
    ],
)
def test_a_node_suits_by_labels_and_taints(changes: dict[str, Any], expected: Fit) -> None:
    labels = changes.get("labels", {"kubernetes.io/os": "linux"})
    node = view(NodeView, {"metadata": {"name": "n", "labels": labels}, "spec": {"taints": changes.get("taints")}})
    template = {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}
    assert daemons.fit(daemons.placing_of(template, tolerations(template)), node) is expected


def test_a_pod_on_the_hosts_network_does_not_wait_for_the_network() -> None:
    taints = [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]
    node = view(NodeView, {"metadata": {"name": "n"}, "spec": {"taints": taints}})
    template = {"spec": {"hostNetwork": True}}
    assert daemons.fit(daemons.placing_of(template, tolerations(template)), node) is Fit.RUN


def test_its_pods_are_meant_for_one_node_and_stay_through_trouble() -> None:
    ds = daemonset()
    ds["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "4"}
    made = pod_of(builders.document("apps/daemonsets", ds), "x1")
    labels = made["metadata"]["labels"]
    assert labels == {"app": "logs", "controller-revision-hash": "x1", "pod-template-generation": "4"}
    assert {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"} in made["spec"][
        "tolerations"
    ]
    body = {**made, "metadata": {**made["metadata"], "name": "p"}, "spec": tied_to(made["spec"], "n7")}
    assert node_of(builders.document("core/pods", body)) == "n7"
    assert "affinity" not in made["spec"]


sets = st.one_of(
    st.builds(lambda n: daemonset(0, n), st.sampled_from([1, 2, "50%"])),
    st.builds(lambda n: daemonset(n, 0), st.sampled_from([1, 2, "50%"])),
)
moves = st.lists(st.tuples(st.sampled_from(["apply", "reap", "ready"]), st.integers(0, 3)), max_size=25)


@settings(max_examples=150, deadline=None)
@given(ds=sets, size=st.integers(1, 5), todo=moves)
def test_law_an_update_keeps_its_limits_whatever_happens_when(
    ds: dict[str, Any], size: int, todo: list[tuple[str, int]]
) -> None:
    nodes = "abcde"[:size]
    tiny = Tiny(ds, dict.fromkeys(nodes, Fit.RUN), [daemon(node, "old") for node in nodes])
    surge, unavailable = tiny.scene().limits()
    for what, number in todo:
        tiny.apply(number) if what == "apply" else tiny.reap() if what == "reap" else tiny.ready(number)
        live = [pod for pod in tiny.pods if "deletionTimestamp" not in pod["metadata"]]
        assert len(live) <= size + surge
        assert tiny.serving() >= size - (0 if surge else unavailable)
    tiny.run()
    assert tiny.nodes_of("new") == sorted(nodes)
    assert tiny.nodes_of("old") == []


pods = st.builds(
    daemon,
    node=st.sampled_from("abcd"),
    revision=st.sampled_from(["new", "old"]),
    ready=st.sampled_from([None, 60]),
    phase=st.sampled_from(["Running", "Running", "Failed", "Succeeded"]),
    deleting=st.booleans(),
    age=st.integers(0, 100),
)


@settings(max_examples=200, deadline=None)
@given(
    ds=sets,
    found=st.lists(pods, max_size=8),
    fits=st.lists(st.sampled_from(list(Fit)), min_size=3, max_size=3),
    cut=st.integers(0, 6),
)
def test_law_from_anywhere_and_after_any_crash_it_comes_to_rest(
    ds: dict[str, Any], found: list[dict[str, Any]], fits: list[Fit], cut: int
) -> None:
    tiny = Tiny(ds, dict(zip("abc", fits, strict=True)), found)
    tiny.apply(cut)
    tiny.reap()
    tiny.run()
    assert tiny.plan() == Plan()
    with_pods = {node for node in tiny.nodes_of("new") if node in "abc"}
    assert with_pods >= {node for node, fit in tiny.fits.items() if fit is Fit.RUN}
    assert not with_pods & {node for node, fit in tiny.fits.items() if fit is Fit.NONE}
