"""What a ReplicaSet does next, as a plain function of what there is."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import NOW, view

from motet.controllers.podview import PodView
from motet.controllers.replicaset import Plan, ReplicaSetView, decide, pod_of, ranked, selector_of

MINE = builders.owner("ReplicaSet", "web", "rs-web")


def plan(rs: dict[str, Any], *pods: dict[str, Any], **options: Any) -> Plan:
    found = view(ReplicaSetView, rs)
    return decide(found, selector_of(found), [view(PodView, pod) for pod in pods], NOW, **options)


def mine(**options: Any) -> dict[str, Any]:
    return builders.pod(owned=MINE, **options)


def first_to_go(*pods: dict[str, Any]) -> str:
    return ranked([view(PodView, pod) for pod in pods], NOW)[0].metadata.name


def test_missing_pods_are_created() -> None:
    assert plan(builders.replicaset(replicas=3), mine()).create == 2


def test_pods_being_deleted_or_finished_do_not_count() -> None:
    assert plan(builders.replicaset(replicas=3), mine(deleting=True), mine(phase="Failed"), mine()).create == 2


def test_status_counts_pods_that_have_been_told_to_go_until_they_have_ended() -> None:
    others = builders.pod(owned=builders.owner("ReplicaSet", "other", "rs-other"), deleting=True)
    pods = (mine(deleting=True), mine(deleting=True, phase="Failed"), builders.pod(deleting=True), others, mine())
    status = plan(builders.replicaset(replicas=1), *pods).status
    assert (status.replicas, status.terminating_replicas) == (1, 1)


def test_surplus_pods_are_deleted() -> None:
    assert len(plan(builders.replicaset(replicas=1), mine(), mine(), mine()).delete) == 2


def test_a_set_being_deleted_makes_and_removes_nothing() -> None:
    assert not plan(builders.replicaset(replicas=3, deleting=True), mine()).acts()
    assert not plan(builders.replicaset(replicas=0, deleting=True), mine(), builders.pod()).acts()


def test_a_matching_orphan_is_adopted_and_counts() -> None:
    found = plan(builders.replicaset(replicas=2), builders.pod("stray"), mine())
    assert [pod.metadata.name for pod in found.claims.adopt] == ["stray"]
    assert found.create == 0


def test_a_pod_of_somebody_else_is_left_alone() -> None:
    other = builders.pod(owned=builders.owner("ReplicaSet", "other", "rs-other"))
    found = plan(builders.replicaset(replicas=1), other)
    assert found.create == 1
    assert not found.claims.adopt


def test_a_pod_whose_labels_no_longer_match_is_released() -> None:
    found = plan(builders.replicaset(replicas=1), mine(name="changed", labels={"app": "debug"}))
    assert [pod.metadata.name for pod in found.claims.release] == ["changed"]
    assert found.create == 1


def test_unassigned_pods_go_first_then_pending_then_unready() -> None:
    unassigned, pending = mine(node="", phase="Pending", ready=None), mine(phase="Pending", ready=None)
    unready, ready = mine(ready=None), mine()
    order = [
        pod.metadata.name for pod in ranked([view(PodView, p) for p in (ready, unready, pending, unassigned)], NOW)
    ]
    assert order == [p["metadata"]["name"] for p in (unassigned, pending, unready, ready)]


def test_a_low_deletion_cost_goes_before_a_high_one() -> None:
    assert first_to_go(mine(name="dear", cost=5), mine(name="cheap", cost=-5), mine(name="plain")) == "cheap"


def test_pods_on_a_crowded_node_go_first() -> None:
    lonely, *crowded = mine(node="a", name="lonely"), mine(node="b"), mine(node="b")
    assert first_to_go(lonely, *crowded) != "lonely"


def test_the_one_ready_for_the_shortest_time_goes_first() -> None:
    assert first_to_go(mine(name="old", ready=5000), mine(name="new", ready=10)) == "new"


def test_the_one_that_restarted_more_goes_first() -> None:
    assert first_to_go(mine(name="steady"), mine(name="shaky", restarts=3)) == "shaky"


def test_status_counts_ready_available_and_fully_labelled() -> None:
    rs = builders.replicaset(replicas=4, minReadySeconds=30)
    rs["spec"]["template"]["metadata"]["labels"]["tier"] = "front"
    labelled = mine(labels={"app": "web", "tier": "front"}, ready=100)
    status = plan(rs, labelled, mine(ready=10), mine(ready=None), mine(deleting=True)).status
    assert (status.replicas, status.ready_replicas, status.available_replicas) == (3, 2, 1)
    assert status.fully_labeled_replicas == 1
    assert status.observed_generation == 1


def test_it_looks_again_when_the_next_pod_becomes_available() -> None:
    found = plan(builders.replicaset(replicas=2, minReadySeconds=30), mine(ready=10), mine(ready=25))
    assert found.look_again == 5


def test_a_failure_becomes_a_condition_and_goes_again() -> None:
    rs = builders.replicaset(replicas=1)
    failed = plan(rs, failure="FailedCreate: quota: exceeded").status
    (condition,) = failed.conditions
    assert (condition.type, condition.status, condition.reason) == ("ReplicaFailure", "True", "FailedCreate")
    assert condition.message == "quota: exceeded"
    rs["status"] = {"conditions": [msgspec.to_builtins(condition)]}
    assert plan(rs, failure="FailedCreate: quota: exceeded by another pod").status == failed, "no news for the loop"
    rs["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True"}]}
    assert plan(rs, mine()).status.conditions == ()


def test_the_pod_it_makes_carries_the_template_and_its_owner() -> None:
    rs = builders.replicaset()
    rs["spec"]["template"]["metadata"]["annotations"] = {"note": "x"}
    made = view(PodView, pod_of(builders.document("apps/replicasets", rs)))
    assert made.metadata.labels == {"app": "web"}
    assert made.metadata.annotations == {"note": "x"}
    assert made.metadata.generate_name == "web-"
    reference = made.metadata.controller()
    assert reference is not None
    assert reference.uid == "rs-web"
    assert reference.block_owner_deletion


pods = st.builds(
    builders.pod,
    labels=st.sampled_from([{"app": "web"}, {"app": "other"}]),
    node=st.sampled_from(["", "n1", "n2"]),
    phase=st.sampled_from(["Pending", "Running", "Failed", "Succeeded"]),
    ready=st.sampled_from([None, 1, 50, 5000]),
    deleting=st.booleans(),
    owned=st.sampled_from([None, MINE, builders.owner("ReplicaSet", "other", "rs-other")]),
    cost=st.sampled_from([None, -1, 7]),
)


@given(replicas=st.integers(0, 6), found=st.lists(pods, max_size=8))
def test_law_after_the_plan_there_is_nothing_left_to_do(replicas: int, found: list[dict[str, Any]]) -> None:
    rs = builders.replicaset(replicas=replicas)
    first = plan(rs, *found)
    assert first.create == 0 or not first.delete
    after = apply(found, first)
    assert not plan(rs, *after).acts()


@given(replicas=st.integers(0, 6), found=st.lists(pods, max_size=8), cut=st.integers(0, 8))
def test_law_a_crash_after_any_write_converges(replicas: int, found: list[dict[str, Any]], cut: int) -> None:
    rs = builders.replicaset(replicas=replicas)
    after = apply(found, plan(rs, *found), limit=cut)
    after = apply(after, plan(rs, *after))
    assert not plan(rs, *after).acts()
    assert plan(rs, *after).status.replicas == replicas


@given(found=st.lists(pods, max_size=8), replicas=st.integers(0, 6))
def test_law_no_ready_pod_is_given_up_while_an_unready_one_stays(found: list[dict[str, Any]], replicas: int) -> None:
    given_up = plan(builders.replicaset(replicas=replicas), *found)
    gone = {pod.metadata.uid for pod in given_up.delete}
    kept = [pod for pod in found if pod["metadata"]["uid"] not in gone and counts(pod)]
    if any(pod["metadata"]["uid"] in gone and is_good(pod) for pod in found):
        assert all(is_good(pod) for pod in kept)


def counts(pod: dict[str, Any]) -> bool:
    owners = pod["metadata"].get("ownerReferences", [MINE])
    live = "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] in ("Pending", "Running")
    return live and owners == [MINE] and pod["metadata"]["labels"] == {"app": "web"}


def is_good(pod: dict[str, Any]) -> bool:
    ready = pod["status"]["conditions"][0]["status"] == "True"
    return bool(pod["spec"]["nodeName"]) and pod["status"]["phase"] == "Running" and ready


def apply(found: list[dict[str, Any]], to_do: Plan, limit: int = 99) -> list[dict[str, Any]]:
    """The pods after the first `limit` writes of a plan."""
    writes: list[tuple[str, str]] = [("adopt", pod.metadata.uid) for pod in to_do.claims.adopt]
    writes += [("release", pod.metadata.uid) for pod in to_do.claims.release]
    writes += [("create", "")] * to_do.create + [("delete", pod.metadata.uid) for pod in to_do.delete]
    result = [{**pod, "metadata": dict(pod["metadata"])} for pod in found]
    by_uid = {pod["metadata"]["uid"]: pod for pod in result}
    for verb, uid in writes[:limit]:
        if verb == "adopt":
            by_uid[uid]["metadata"]["ownerReferences"] = [MINE]
        elif verb == "release":
            by_uid[uid]["metadata"].pop("ownerReferences", None)
        elif verb == "create":
            result.append(mine(node="", phase="Pending", ready=None))
        else:
            result = [pod for pod in result if pod["metadata"]["uid"] != uid]
    return result
