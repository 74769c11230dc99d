"""How a Deployment rolls: examples for each rule, and the laws that hold whatever happens when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers.builders import view
from tests.controllers.tiny_cluster import TinyCluster

from motet.base.selectors import from_document
from motet.controllers import rollout
from motet.controllers.rollout_status import DeploymentView
from motet.controllers.templates import template_hash


def rolling(surge: int | str, unavailable: int | str) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def rolled_out(replicas: int = 3, **spec: Any) -> TinyCluster:
    cluster = TinyCluster(replicas, **spec)
    cluster.run()
    return cluster


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("25%", "25%", 10, (3, 2)),
        ("25%", "25%", 1, (1, 0)),
        (0, 0, 4, (0, 1)),
        ("0%", "10%", 4, (0, 1)),
        (2, 9, 4, (2, 4)),
    ],
)
def test_percentages_round_surge_up_and_unavailability_down(
    surge: int | str, unavailable: int | str, replicas: int, expected: tuple[int, int]
) -> None:
    deployment = view(DeploymentView, TinyCluster(replicas, strategy=rolling(surge, unavailable)).deployment)
    assert rollout.limits(deployment) == expected


def test_a_new_deployment_makes_one_set_of_full_size() -> None:
    cluster = TinyCluster(3)
    (create, note) = cluster.plan().writes
    assert isinstance(create, rollout.CreateSet)
    assert create.replicas == 3
    assert create.document["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] == "3"
    assert create.document["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] == "4"
    assert note == rollout.Annotate({"deployment.kubernetes.io/revision": "1"})


def test_the_hash_is_in_the_name_the_labels_the_selector_and_the_template() -> None:
    (create, _) = TinyCluster(3).plan().writes
    assert isinstance(create, rollout.CreateSet)
    suffix = create.name.removeprefix("web-")
    document = create.document
    labels = {"app": "web", "pod-template-hash": suffix}
    assert document["metadata"]["labels"] == labels
    assert document["spec"]["template"]["metadata"]["labels"] == labels
    assert from_document(document["spec"]["selector"]).matches(labels)
    assert document["spec"]["selector"]["matchLabels"] == labels


def test_the_hash_depends_on_meaning_and_not_on_spelling() -> None:
    plain = {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1, "y": [1, 2]}}
    spelled = {"spec": {"y": [1, 2], "x": 1, "z": None}, "metadata": {"annotations": {}, "labels": {"a": "b"}}}
    assert template_hash(plain) == template_hash(spelled)
    assert template_hash(plain) != template_hash({**plain, "spec": {"x": 1, "y": [2, 1]}})
    assert template_hash(plain) != template_hash(plain, 1)


def test_the_hash_is_the_same_in_every_version() -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert template_hash(template) == template_hash(dict(reversed(template.items())))
    assert template_hash(template) == EXPECTED_HASH


EXPECTED_HASH = "h8ht55n2gg"


def test_a_name_that_is_taken_counts_as_a_collision() -> None:
    cluster = TinyCluster(1)
    deployment = view(DeploymentView, cluster.deployment)
    (first, _) = rollout.decide(deployment, [], cluster.now).writes
    assert isinstance(first, rollout.CreateSet)
    plan = rollout.decide(deployment, [], cluster.now, taken=lambda name: name == first.name)
    second = plan.writes[0]
    assert isinstance(second, rollout.CreateSet)
    assert second.name != first.name
    assert plan.status.collision_count == 1


def test_a_new_template_starts_with_the_surge_and_keeps_the_old_ones() -> None:
    cluster = rolled_out(10, strategy=rolling(3, 2))
    cluster.image("v2")
    cluster.decide()
    assert cluster.sizes() == {"v1": 10, "v2": 3}
    cluster.decide()
    assert cluster.sizes() == {"v1": 8, "v2": 3}


def test_nothing_more_starts_until_the_old_set_has_removed_its_pods() -> None:
    cluster = rolled_out(10, strategy=rolling(3, 2))
    cluster.image("v2")
    cluster.decide()
    cluster.decide()
    cluster.decide()
    assert cluster.sizes() == {"v1": 8, "v2": 3}
    cluster.act(cluster.named("v1"))
    cluster.decide()
    assert cluster.sizes() == {"v1": 8, "v2": 5}


def test_it_ends_with_all_pods_on_the_new_template() -> None:
    cluster = rolled_out(10)
    cluster.image("v2")
    cluster.run()
    assert cluster.sizes() == {"v1": 0, "v2": 10}
    assert cluster.condition("Progressing")["reason"] == "NewReplicaSetAvailable"
    assert cluster.deployment["metadata"]["annotations"][rollout.REVISION] == "2"


def test_pods_that_do_not_work_are_the_first_old_ones_to_go() -> None:
    cluster = rolled_out(4, strategy=rolling(1, 1))
    cluster.image("broken")
    cluster.decide()
    cluster.act(cluster.named("broken"))
    cluster.image("v3")
    cluster.decide()
    cluster.decide()
    assert cluster.sizes()["broken"] == 0


def test_an_undo_brings_back_the_old_set_under_the_next_revision() -> None:
    cluster = rolled_out(2)
    cluster.image("v2")
    cluster.run()
    cluster.image("v1")
    cluster.run()
    assert cluster.sizes() == {"v1": 2, "v2": 0}
    annotations = cluster.sets[cluster.named("v1")]["metadata"]["annotations"]
    assert annotations[rollout.REVISION] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"


def test_scaling_changes_only_the_size() -> None:
    cluster = rolled_out(2)
    cluster.change(replicas=5)
    cluster.run()
    assert cluster.sizes() == {"v1": 5}
    cluster.change(replicas=0)
    cluster.run()
    assert cluster.total() == 0


def test_scaling_in_the_middle_of_a_rollout_is_shared_in_proportion() -> None:
    cluster = rolled_out(10, strategy=rolling(3, 2))
    cluster.image("v2")
    cluster.decide()
    cluster.decide()
    for name in cluster.sets:
        cluster.act(name)
    cluster.decide()
    assert cluster.sizes() == {"v1": 8, "v2": 5}
    for name in cluster.sets:
        cluster.act(name)
    cluster.change(replicas=15)
    cluster.decide()
    assert cluster.sizes() == {"v1": 11, "v2": 7}


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    cluster = rolled_out(2)
    cluster.change(paused=True, replicas=4)
    cluster.image("v2")
    cluster.run()
    assert cluster.sizes() == {"v1": 4}
    assert cluster.condition("Progressing")["reason"] == "DeploymentPaused"
    cluster.change(paused=False)
    cluster.run()
    assert cluster.sizes() == {"v1": 0, "v2": 4}


def test_recreate_waits_for_the_last_old_pod_before_the_first_new_one() -> None:
    cluster = rolled_out(3, strategy={"type": "Recreate"})
    cluster.image("v2")
    cluster.decide()
    assert cluster.sizes() == {"v1": 0}
    cluster.decide()
    assert cluster.sizes() == {"v1": 0}
    cluster.act(cluster.named("v1"))
    cluster.decide()
    assert cluster.sizes() == {"v1": 0, "v2": 3}


def test_history_keeps_the_newest_empty_sets() -> None:
    cluster = rolled_out(1, revisionHistoryLimit=2)
    for version in range(2, 7):
        cluster.image(f"v{version}")
        cluster.run()
    assert set(cluster.sizes()) == {"v4", "v5", "v6"}


def test_change_cause_is_copied_to_the_set_and_last_applied_is_not() -> None:
    cluster = TinyCluster(1)
    last_applied = "kubectl.kubernetes.io/last-applied-configuration"
    cluster.deployment["metadata"]["annotations"] = {"kubernetes.io/change-cause": "because", last_applied: "{}"}
    cluster.run()
    annotations = cluster.sets[cluster.named("v1")]["metadata"]["annotations"]
    assert annotations["kubernetes.io/change-cause"] == "because"
    assert last_applied not in annotations


def test_no_progress_for_the_deadline_is_reported_and_looked_for_in_time() -> None:
    cluster = rolled_out(2, progressDeadlineSeconds=60)
    cluster.image("stuck")
    cluster.decide()
    assert cluster.condition("Progressing")["reason"] == "NewReplicaSetCreated"
    assert cluster.plan().look_again == 61
    cluster.now += timedelta(seconds=61)
    cluster.decide()
    condition = cluster.condition("Progressing")
    assert (condition["status"], condition["reason"]) == ("False", "ProgressDeadlineExceeded")


def test_available_says_whether_enough_pods_are() -> None:
    cluster = TinyCluster(2)
    cluster.decide()
    assert cluster.condition("Available")["reason"] == "MinimumReplicasUnavailable"
    cluster.run()
    assert cluster.condition("Available")["reason"] == "MinimumReplicasAvailable"
    assert cluster.deployment["status"]["availableReplicas"] == 2


def test_a_set_that_cannot_make_pods_shows_on_the_deployment() -> None:
    cluster = TinyCluster(1)
    cluster.decide()
    cluster.sets[cluster.named("v1")]["status"] = {
        "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]
    }
    cluster.decide()
    assert cluster.condition("ReplicaFailure")["message"] == "quota"


def test_a_deployment_on_its_way_out_only_reports() -> None:
    cluster = TinyCluster(1)
    cluster.deployment["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert cluster.plan().writes == ()


# Whole decisions are likelier than interrupted ones, and a new template comes now and then.
moves = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.sampled_from([99, 99, 99, 0, 1, 2])),
        st.tuples(st.sampled_from(["act", "act silently"]), st.integers(0, 3)),
        st.tuples(st.sampled_from(["report", "ready"]), st.integers(0, 3)),
        st.tuples(st.sampled_from(["decide", "act", "image"]), st.integers(1, 3)),
    ),
    min_size=8,
    max_size=40,
)
strategies = st.builds(rolling, st.integers(0, 3) | st.just("25%"), st.integers(0, 3) | st.just("25%"))


def move(cluster: TinyCluster, what: str, number: int) -> None:
    name = sorted(cluster.sets)[number % len(cluster.sets)] if cluster.sets else ""
    match what:
        case "decide":
            cluster.decide(limit=number)
        case "image":
            cluster.image(f"v{number}")
        case "act" | "act silently" if name:
            cluster.act(name, report=what == "act")
        case "report" if name:
            cluster.report(name)
        case "ready" if name:
            cluster.ready(name, 2)


@settings(max_examples=150, deadline=None)
@given(replicas=st.integers(0, 6), strategy=strategies, todo=moves)
def test_law_never_too_many_pods_and_never_too_few_available_ones(
    replicas: int, strategy: dict[str, Any], todo: list[tuple[str, int]]
) -> None:
    cluster = rolled_out(replicas, strategy=strategy)
    surge, unavailable = rollout.limits(view(DeploymentView, cluster.deployment))
    cluster.image("v2")
    for what, number in todo:
        before = cluster.available()
        move(cluster, what, number)
        assert cluster.total() <= replicas + surge
        assert cluster.available() >= min(before, replicas - unavailable)


@settings(max_examples=100, deadline=None)
@given(
    replicas=st.integers(0, 6),
    strategy=strategies | st.just({"type": "Recreate"}),
    todo=moves,
    scaled=st.none() | st.integers(0, 8),
)
def test_law_it_always_converges_and_then_rests(
    replicas: int, strategy: dict[str, Any], todo: list[tuple[str, int]], scaled: int | None
) -> None:
    cluster = TinyCluster(replicas, strategy=strategy)
    for what, number in todo[: len(todo) // 2]:
        move(cluster, what, number)
    if scaled is not None:
        cluster.change(replicas=scaled)
    for what, number in todo[len(todo) // 2 :]:
        move(cluster, what, number)
    cluster.run()
    wanted = replicas if scaled is None else scaled
    image = cluster.deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert {name: size for name, size in cluster.sizes().items() if size} == ({image: wanted} if wanted else {})
    assert cluster.plan().writes == ()
    assert cluster.condition("Available")["status"] == "True"


@settings(max_examples=60, deadline=None)
@given(replicas=st.integers(1, 5), strategy=strategies, cut=st.integers(0, 3), paused=st.booleans())
def test_law_a_crash_after_any_write_of_any_plan_converges(
    replicas: int, strategy: dict[str, Any], cut: int, paused: bool
) -> None:
    cluster = rolled_out(replicas, strategy=strategy)
    cluster.image("v2")
    for _ in range(4):
        cluster.decide(limit=cut)
        for name in cluster.sets:
            cluster.act(name, report=cut % 2 == 0)
    if paused:
        cluster.change(paused=True, replicas=replicas + 2)
        cluster.decide(limit=cut)
        cluster.change(paused=False)
    cluster.run()
    assert cluster.sizes() == {"v1": 0, "v2": replicas + 2 * paused}
