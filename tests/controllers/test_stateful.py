"""What a StatefulSet does next, as a plain function; and the laws that hold whatever happens when."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import NOW, view

from motet.controllers import stateful, statefulclaims
from motet.controllers.podview import PodView
from motet.controllers.stateful import CreatePod, DeletePod, MakeClaims, OwnClaim, Plan, Relabel, Scene, StatefulSetView
from motet.controllers.statefulclaims import Retention
from motet.controllers.statefulset import pod_of
from motet.store.document import Meta, OwnerReference

MINE = builders.owner("StatefulSet", "db", "sts-db")
CLAIM = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def statefulset(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "metadata": {"name": "db", "namespace": "default", "uid": "sts-db", "generation": 1},
        "spec": {"replicas": replicas, "template": template, "selector": {"matchLabels": {"app": "db"}}, **spec},
    }


def member(ordinal: int, revision: str = "new", **options: Any) -> dict[str, Any]:
    name = f"db-{ordinal}"
    labels = {"controller-revision-hash": revision, stateful.NAME_LABEL: name, stateful.INDEX_LABEL: str(ordinal)}
    return builders.pod(name, labels=labels, owned=MINE, **options)


class Tiny:
    """One set, its pods and its claims; every method is one thing that may happen."""

    def __init__(self, body: dict[str, Any], *pods: dict[str, Any], current: str = "old") -> None:
        self.body = body
        self.pods = {pod["metadata"]["name"]: pod for pod in pods}
        self.current = current
        self.claims: dict[str, Meta] = {}

    def scene(self) -> Scene:
        pods = [view(PodView, pod) for pod in self.pods.values()]
        return Scene(view(StatefulSetView, self.body), self.current, "new", pods, self.claims, NOW)

    def plan(self) -> Plan:
        return stateful.decide(self.scene())

    def apply(self, limit: int = 99) -> int:
        plan = self.plan()
        for write in plan.writes[:limit]:
            match write:
                case CreatePod():
                    revision = "new" if write.updated else self.current
                    made = member(write.ordinal, revision, ready=None, age=0)
                    self.pods[made["metadata"]["name"]] = made
                case DeletePod():
                    self.pods[write.pod.metadata.name]["metadata"]["deletionTimestamp"] = builders.ago(0)
                case Relabel():
                    self.pods[write.pod.metadata.name]["metadata"]["labels"].update(write.labels)
                case OwnClaim():
                    self.claims[write.claim.name] = msgspec.structs.replace(
                        write.claim, owner_references=write.references
                    )
        if limit > len(plan.writes):
            self.current = stateful.status(self.scene()).current_revision
        return len(plan.writes)

    def reap(self) -> None:
        self.pods = {name: pod for name, pod in self.pods.items() if "deletionTimestamp" not in pod["metadata"]}

    def ready(self, count: int = 99) -> None:
        for name in sorted(self.pods):
            condition = self.pods[name]["status"]["conditions"][0]
            if condition["status"] != "True" and count > 0:
                condition["status"] = "True"
                count -= 1

    def run(self) -> None:
        for _ in range(80):
            self.reap()
            self.ready()
            if not self.apply():
                return
        raise AssertionError(f"never rests: {self.plan()}")

    def revisions(self) -> dict[str, str]:
        return {name: pod["metadata"]["labels"]["controller-revision-hash"] for name, pod in sorted(self.pods.items())}


def all_of(revision: str, replicas: int = 3, **options: Any) -> list[dict[str, Any]]:
    return [member(number, revision, **options) for number in range(replicas)]


def deleted(plan: Plan) -> list[str]:
    return [write.pod.metadata.name for write in plan.writes if isinstance(write, DeletePod)]


def created(plan: Plan) -> list[int]:
    return [write.ordinal for write in plan.writes if isinstance(write, CreatePod)]


def test_pods_are_made_one_after_the_other() -> None:
    assert created(Tiny(statefulset()).plan()) == [0]
    assert created(Tiny(statefulset(), member(0, ready=None)).plan()) == []
    assert created(Tiny(statefulset(), member(0)).plan()) == [1]


def test_in_parallel_all_are_made_at_once() -> None:
    assert created(Tiny(statefulset(podManagementPolicy="Parallel"), member(1, ready=None)).plan()) == [0, 2]


def test_one_that_is_ready_but_not_long_enough_holds_the_next_back() -> None:
    plan = Tiny(statefulset(minReadySeconds=30), member(0, ready=10)).plan()
    assert (created(plan), plan.look_again) == ([], 20)


def test_numbers_begin_where_they_are_told_to() -> None:
    tiny = Tiny(statefulset(2, ordinals={"start": 5}), member(0), member(5))
    assert created(tiny.plan()) == [6]
    tiny.run()
    assert sorted(tiny.pods) == ["db-5", "db-6"]


def test_surplus_pods_go_from_the_highest_down_one_at_a_time() -> None:
    tiny = Tiny(statefulset(1), *all_of("new", 4))
    assert deleted(tiny.plan()) == ["db-3"]
    tiny.apply()
    assert tiny.plan().writes == ()


def test_scaling_down_halts_at_a_pod_that_is_not_well_unless_it_is_the_first_such() -> None:
    halted = Tiny(statefulset(1), member(0), member(1, ready=None), member(2, ready=None))
    assert deleted(halted.plan()) == []
    assert deleted(Tiny(statefulset(1), member(0), member(1), member(2, ready=None)).plan()) == ["db-2"]


def test_in_parallel_all_surplus_goes_at_once() -> None:
    tiny = Tiny(statefulset(1, podManagementPolicy="Parallel"), *all_of("new", 4))
    assert deleted(tiny.plan()) == ["db-3", "db-2", "db-1"]


def test_a_pod_that_ended_is_deleted_and_made_again() -> None:
    tiny = Tiny(statefulset(1), member(0, phase="Failed"))
    (write,) = tiny.plan().writes
    assert isinstance(write, DeletePod)
    assert write.ended
    tiny.run()
    assert sorted(tiny.pods) == ["db-0"]


def test_an_update_goes_from_the_highest_down_and_waits_for_each() -> None:
    tiny = Tiny(statefulset(), *all_of("old"))
    assert deleted(tiny.plan()) == ["db-2"]
    tiny.apply()
    tiny.reap()
    tiny.apply()
    assert tiny.revisions() == {"db-0": "old", "db-1": "old", "db-2": "new"}
    assert tiny.plan().writes == ()
    tiny.ready()
    assert deleted(tiny.plan()) == ["db-1"]


def test_a_partition_keeps_the_lower_ones_and_makes_them_again_as_they_were() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    tiny = Tiny(statefulset(updateStrategy=strategy), *all_of("old"))
    tiny.run()
    assert tiny.revisions() == {"db-0": "old", "db-1": "old", "db-2": "new"}
    del tiny.pods["db-0"]
    tiny.run()
    assert tiny.revisions()["db-0"] == "old"
    assert tiny.current == "old"


def test_on_delete_updates_only_what_is_deleted() -> None:
    tiny = Tiny(statefulset(updateStrategy={"type": "OnDelete"}), *all_of("old"))
    assert tiny.plan().writes == ()
    del tiny.pods["db-1"]
    tiny.run()
    assert tiny.revisions() == {"db-0": "old", "db-1": "new", "db-2": "old"}


def test_an_update_may_take_several_at_a_time() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    tiny = Tiny(statefulset(5, podManagementPolicy="Parallel", updateStrategy=strategy), *all_of("old", 5))
    assert deleted(tiny.plan()) == ["db-4", "db-3"]
    tiny.apply()
    assert deleted(tiny.plan()) == []


def test_an_ordered_rollout_stays_stuck_on_a_pod_that_never_gets_ready() -> None:
    broken = Tiny(statefulset(), member(0, "old"), member(1, "old"), member(2, "broken", ready=None))
    assert broken.plan().writes == ()
    del broken.pods["db-2"]
    assert created(broken.plan()) == [2]


def test_a_pod_without_its_labels_gets_them() -> None:
    pod = member(0)
    pod["metadata"]["labels"] = {"app": "db", "controller-revision-hash": "new"}
    (write,) = Tiny(statefulset(1), pod).plan().writes
    assert isinstance(write, Relabel)
    assert write.labels == {stateful.NAME_LABEL: "db-0", stateful.INDEX_LABEL: "0"}


def test_a_pending_pod_gets_the_claim_it_lacks() -> None:
    tiny = Tiny(statefulset(1, volumeClaimTemplates=[CLAIM]), member(0, phase="Pending", ready=None))
    assert tiny.plan().writes == (MakeClaims(0),)


def test_a_set_on_its_way_out_does_nothing() -> None:
    body = statefulset()
    body["metadata"]["deletionTimestamp"] = builders.ago(1)
    assert Tiny(body).plan() == Plan()


def test_when_all_are_new_the_update_becomes_the_current_revision() -> None:
    scene = Tiny(statefulset(), *all_of("new")).scene()
    found = stateful.status(scene)
    assert (found.current_revision, found.update_revision) == ("new", "new")
    assert (found.current_replicas, found.updated_replicas, found.ready_replicas) == (3, 3, 3)
    half = stateful.status(Tiny(statefulset(), *all_of("old", 2), member(2)).scene())
    assert (half.current_revision, half.current_replicas, half.updated_replicas) == ("old", 2, 1)


@pytest.mark.parametrize(
    ("policy", "wanted", "expected"),
    [
        (Retention(), True, []),
        (Retention(), False, []),
        (Retention("Delete", "Retain"), True, ["StatefulSet"]),
        (Retention("Delete", "Retain"), False, ["StatefulSet"]),
        (Retention("Retain", "Delete"), True, []),
        (Retention("Retain", "Delete"), False, ["Pod"]),
        (Retention("Delete", "Delete"), True, ["StatefulSet"]),
        (Retention("Delete", "Delete"), False, ["Pod"]),
    ],
)
def test_claims_go_with_whom_the_policy_says(policy: Retention, wanted: bool, expected: list[str]) -> None:
    before = (OwnerReference("v1", "Pod", "db-0", "earlier"), OwnerReference("v1", "ConfigMap", "mine", "m"))
    claim = Meta(name="data-db-0", owner_references=before)
    found = statefulclaims.owners(claim, Meta(name="db", uid="s"), Meta(name="db-0", uid="p"), policy, wanted=wanted)
    assert [each.kind for each in found] == ["ConfigMap", *expected]


def test_a_new_pod_waits_for_a_claim_that_goes_with_an_earlier_one() -> None:
    tiny = Tiny(statefulset(1, volumeClaimTemplates=[CLAIM]))
    tiny.claims["data-db-0"] = Meta(
        name="data-db-0", owner_references=(OwnerReference("v1", "Pod", "db-0", "earlier"),)
    )
    assert tiny.plan().writes == ()
    tiny.claims.clear()
    assert created(tiny.plan()) == [0]


def test_the_pod_it_makes_has_its_own_name_storage_and_place_in_dns() -> None:
    body = statefulset(serviceName="dbs", volumeClaimTemplates=[CLAIM])
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    owner = builders.document("apps/statefulsets", body)
    made = pod_of(owner, body["spec"]["template"], "db-x1", 4)
    assert made["metadata"]["name"] == made["spec"]["hostname"] == "db-4"
    assert made["spec"]["subdomain"] == "dbs"
    assert made["metadata"]["labels"] == {
        "app": "db",
        "controller-revision-hash": "db-x1",
        "statefulset.kubernetes.io/pod-name": "db-4",
        "apps.kubernetes.io/pod-index": "4",
    }
    assert made["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-4"}},
        {"name": "tmp", "emptyDir": {}},
    ]


sets = st.builds(
    lambda replicas, policy, start, partition, most: statefulset(
        replicas,
        podManagementPolicy=policy,
        ordinals={"start": start},
        updateStrategy={
            "type": "RollingUpdate",
            "rollingUpdate": {"partition": partition, **({"maxUnavailable": most} if most else {})},
        },
    ),
    st.integers(0, 4),
    st.sampled_from(["OrderedReady", "Parallel"]),
    st.integers(0, 2),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2, "50%"]),
)
members = st.builds(
    member,
    st.integers(0, 6),
    st.sampled_from(["new", "old", "older"]),
    ready=st.sampled_from([None, 60]),
    phase=st.sampled_from(["Running", "Running", "Pending", "Failed", "Succeeded"]),
    deleting=st.booleans(),
)
moves = st.lists(st.tuples(st.sampled_from(["apply", "reap", "ready"]), st.integers(0, 3)), max_size=20)


@settings(max_examples=200, deadline=None)
@given(body=sets, found=st.lists(members, max_size=6), todo=moves)
def test_law_from_anywhere_and_after_any_crash_it_comes_to_rest(
    body: dict[str, Any], found: list[dict[str, Any]], todo: list[tuple[str, int]]
) -> None:
    tiny = Tiny(body, *found)
    for what, number in todo:
        tiny.apply(number) if what == "apply" else tiny.reap() if what == "reap" else tiny.ready(number)
    for pod in tiny.pods.values():
        if pod["status"]["phase"] == "Pending":
            pod["status"]["phase"] = "Running"
    tiny.run()
    wanted = view(StatefulSetView, body).ordinals()
    assert sorted(tiny.pods) == sorted(f"db-{number}" for number in wanted)
    assert tiny.plan().writes == ()
    updated = [name for name, revision in tiny.revisions().items() if revision == "new"]
    partition = wanted.start + view(StatefulSetView, body).partition()
    assert set(updated) >= {f"db-{number}" for number in wanted if number >= partition}


@settings(max_examples=150, deadline=None)
@given(replicas=st.integers(1, 5), todo=moves, scaled=st.integers(0, 5))
def test_law_under_ordered_ready_at_most_one_is_missing_and_none_is_surplus(
    replicas: int, todo: list[tuple[str, int]], scaled: int
) -> None:
    tiny = Tiny(statefulset(replicas), *all_of("old", replicas))
    tiny.body["spec"]["replicas"] = scaled
    for what, number in todo:
        tiny.apply(number) if what == "apply" else tiny.reap() if what == "reap" else tiny.ready(number)
        leaving = sum("deletionTimestamp" in pod["metadata"] for pod in tiny.pods.values())
        unready = sum(pod["status"]["conditions"][0]["status"] != "True" for pod in tiny.pods.values())
        assert leaving + unready <= 1
        assert len(tiny.pods) <= max(replicas, scaled)


def test_surplus_pods_that_have_ended_do_not_wait_for_each_other() -> None:
    tiny = Tiny(
        statefulset(0), member(0, "new", ready=None, phase="Failed"), member(1, "new", ready=None, phase="Failed")
    )
    tiny.run()
    assert not tiny.pods
