"""Apps: slots and their pods, rolled one by one, in laws and on a real kernel."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import NOW, view
from tests.controllers.world import World, kubelet, world

from motet.controllers.app import Apps, AppView, slots_of
from motet.controllers.nodes import NodeView
from motet.controllers.placement import Plan, Update, Want, decide
from motet.controllers.podview import PodView
from motet.kinds import app, node, pod
from motet.kinds.tasks import NODE_ANNOTATION, SLOT_LABEL, TEMPLATE_LABEL

_order = itertools.count()


def in_slot(slot: int | str, template: str = "new", **options: Any) -> PodView:
    labels = {SLOT_LABEL: str(slot), TEMPLATE_LABEL: template}
    return view(PodView, builders.pod(labels=labels, **options))


def slots(count: int) -> dict[str, Want]:
    return {str(number): Want.RUN for number in range(1, count + 1)}


def plan(count: int, *pods: PodView, **update: Any) -> Plan:
    return decide(slots(count), pods, "new", Update(**update), NOW)


def test_every_empty_slot_gets_a_pod_at_once() -> None:
    assert plan(3, in_slot(2)).create == ("1", "3")


def test_slots_that_are_no_longer_wanted_are_emptied() -> None:
    (gone,) = plan(1, in_slot(1), in_slot(2)).delete
    assert (gone.metadata.labels or {})[SLOT_LABEL] == "2"


def test_two_pods_in_one_slot_are_one_too_many() -> None:
    old, young = in_slot(1, age=100), in_slot(1, age=5)
    assert plan(1, young, old).delete == (young,)


def test_stop_first_ends_the_old_pod_and_waits_until_it_is_gone() -> None:
    first, second = in_slot(1, "old"), in_slot(2, "old")
    assert plan(2, first, second) == Plan((), (first,))
    assert plan(2, in_slot(1, "old", deleting=True), second) == Plan()
    assert plan(2, second) == Plan(("1",), ())


def test_an_old_pod_whose_node_is_silent_is_not_waited_for() -> None:
    body = builders.pod(labels={SLOT_LABEL: "1", TEMPLATE_LABEL: "old"}, ready=None, deleting=True)
    body["status"]["conditions"][0]["reason"] = "NodeNotReady"
    assert plan(1, view(PodView, body)).create == ("1",)


def test_start_first_ends_the_old_pod_when_the_new_one_is_ready() -> None:
    old = in_slot(1, "old")
    assert plan(1, old, start_first=True) == Plan(("1",), ())
    assert plan(1, old, in_slot(1, ready=None), start_first=True) == Plan()
    assert plan(1, old, in_slot(1), start_first=True) == Plan((), (old,))


def test_no_more_slots_than_the_limit_are_renewed_at_a_time() -> None:
    olds = [in_slot(number, "old") for number in range(1, 6)]
    assert len(plan(5, *olds, parallelism=2).delete) == 2
    assert len(plan(5, *olds, parallelism=0).delete) == 5
    assert plan(5, *olds[1:], in_slot(1, ready=None), parallelism=1) == Plan()


def test_slots_that_do_not_work_are_renewed_first() -> None:
    broken = in_slot(2, "old", ready=None)
    assert plan(2, in_slot(1, "old"), broken).delete == (broken,)


def test_the_delay_counts_from_the_last_slot_that_became_ready() -> None:
    found = plan(2, in_slot(1, ready=4), in_slot(2, "old"), delay_seconds=10)
    assert found == Plan((), (), 6)
    assert len(plan(2, in_slot(1, ready=11), in_slot(2, "old"), delay_seconds=10).delete) == 1


def test_a_global_app_has_a_slot_on_every_node_that_suits() -> None:
    def a_node(name: str, labels: dict[str, str], **spec: Any) -> NodeView:
        return view(NodeView, {"metadata": {"name": name, "labels": labels}, "spec": spec})

    body = {
        "metadata": {"name": "a"},
        "spec": {"mode": {"global": {}}, "template": {"spec": {"nodeSelector": {"disk": "ssd"}}}},
    }
    nodes = [
        a_node("fits", {"disk": "ssd"}),
        a_node("other", {}),
        a_node("cordoned", {"disk": "ssd"}, unschedulable=True),
        a_node("tainted", {"disk": "ssd"}, taints=[{"key": "x", "effect": "NoSchedule"}]),
    ]
    assert slots_of(view(AppView, body), nodes) == {"fits": Want.RUN, "cordoned": Want.KEEP, "tainted": Want.KEEP}


def test_a_cordoned_node_keeps_its_pod_and_gets_no_new_one() -> None:
    kept = {"n1": Want.KEEP}
    assert decide(kept, [], "new", Update(), NOW) == Plan()
    body = builders.pod(labels={TEMPLATE_LABEL: "old"})
    body["metadata"]["annotations"] = {NODE_ANNOTATION: "n1"}
    assert decide(kept, [view(PodView, body)], "new", Update(), NOW) == Plan()


some_pods = st.lists(
    st.builds(
        in_slot,
        st.integers(1, 6),
        st.sampled_from(["old", "new"]),
        ready=st.sampled_from([None, 100]),
        deleting=st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(0, 5),
    found=some_pods,
    parallelism=st.integers(0, 3),
    start_first=st.booleans(),
    cut=st.integers(0, 9),
)
def test_law_it_converges_from_anywhere_within_its_limits(
    count: int, found: list[PodView], parallelism: int, start_first: bool, cut: int
) -> None:
    update = {"parallelism": parallelism, "start_first": start_first}
    pods = found
    for turn in range(40):
        to_do = plan(count, *pods, **update)
        if to_do == Plan() and all(each.metadata.deletion_timestamp is None and is_good(each) for each in pods):
            break
        working = {slot(each) for each in pods if is_good(each)}
        # The first turn crashes after `cut` writes.
        limit = cut if turn == 0 else 99
        gone = {each.metadata.uid for each in to_do.delete[:limit]}
        pods = [each for each in pods if each.metadata.uid not in gone]
        pods += [in_slot(name, ready=None) for name in to_do.create[: max(0, limit - len(to_do.delete))]]
        if parallelism and not start_first:
            down = set(slots(count)) - {slot(each) for each in pods if is_good(each)}
            assert len(down) <= max(parallelism, count - len(working & set(slots(count))))
        if start_first:
            assert working & set(slots(count)) <= {slot(each) for each in pods if is_good(each)}
        pods = [
            each if is_good(each) else in_slot(slot(each), template(each))
            for each in pods
            if not each.metadata.deletion_timestamp
        ]
    assert sorted(slot(each) for each in pods) == sorted(slots(count))
    assert {template(each) for each in pods} <= {"new"}


def slot(pod: PodView) -> str:
    return (pod.metadata.labels or {})[SLOT_LABEL]


def template(pod: PodView) -> str:
    return (pod.metadata.labels or {})[TEMPLATE_LABEL]


def is_good(pod: PodView) -> bool:
    return pod.metadata.deletion_timestamp is None and (pod.status.conditions or ())[0].status == "True"


# On a real kernel.


async def apps(world: World) -> None:
    await Apps(world.client, world.clock, world.events).run()


def an_app(mode: dict[str, Any], image: str = "v1", **update: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    return {"metadata": {"name": "web"}, "spec": {"mode": mode, "template": template, "update": update}}


def settled(it: World, count: int, image: str) -> bool:
    status = (it.get(app.KIND, "web") or {}).get("status") or {}
    images = [each["spec"]["containers"][0]["image"] for each in it.all(pod.KIND)]
    return (
        images == [image] * count
        and [status.get(k) for k in ("replicas", "updatedReplicas", "readyReplicas")] == [count] * 3
    )


async def test_a_replicated_app_fills_its_slots_rolls_and_scales(tmp_path: Path) -> None:
    async with world(tmp_path, apps, kubelet) as it:
        await it.create(app.KIND, an_app({"replicated": {"replicas": 3}}))
        await it.until(lambda: settled(it, 3, "v1"))
        assert sorted(each["metadata"]["labels"]["motet.dev/slot"] for each in it.all(pod.KIND)) == ["1", "2", "3"]
        await it.client.patch(app.KIND, "web", {"spec": an_app({}, "v2", parallelism=2)["spec"]}, "default")
        await it.until(lambda: settled(it, 3, "v2"))
        await it.client.patch(app.KIND, "web", {"spec": {"mode": {"replicated": {"replicas": 1}}}}, "default")
        await it.until(lambda: settled(it, 1, "v2"))


async def test_a_global_app_follows_the_nodes(tmp_path: Path) -> None:
    async with world(tmp_path, apps) as it:
        await it.create(node.KIND, {"metadata": {"name": "n1"}})
        await it.create(app.KIND, an_app({"global": {}}))

        def places() -> list[str]:
            return sorted(each["metadata"]["annotations"]["motet.dev/node"] for each in it.all(pod.KIND))

        await it.until(lambda: places() == ["n1"])
        await it.create(node.KIND, {"metadata": {"name": "n2"}})
        await it.until(lambda: places() == ["n1", "n2"])
        affinity = it.all(pod.KIND)[0]["spec"]["affinity"]["nodeAffinity"]
        terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert terms[0]["matchFields"][0]["key"] == "metadata.name"
        await it.client.delete(node.KIND, "n1")
        await it.until(lambda: places() == ["n2"])
