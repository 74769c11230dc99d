"""Apps: slots and their pods, rolled one by one, in laws and on a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.controllers import builders
from tests.controllers.app_scenes import acts, an_app, plan, scene, task, updating
from tests.controllers.builders import NOW, view
from tests.controllers.world import World, kubelet, run_pods, world

from motet.controllers.app import Apps, AppView
from motet.controllers.apps import Scene, Want, decide, limits
from motet.controllers.appslots import slots_of
from motet.controllers.appview import TaskPod, Update
from motet.controllers.nodes import NodeView
from motet.kinds import app, controllerrevision, node, pod
from motet.kinds.tasks import NODE_ANNOTATION, TEMPLATE_LABEL, task_of


def test_every_empty_slot_gets_a_pod_at_once() -> None:
    assert acts(plan(3, task(2)))[0] == ["1", "3"]


def test_slots_that_are_no_longer_wanted_are_emptied_and_forgotten() -> None:
    gone, over = task(2), task(2, ended=5, code=1)
    found = plan(1, task(1), gone, over)
    assert (found.delete, found.forget) == ((gone,), (over,))


def test_two_pods_in_one_slot_are_one_too_many() -> None:
    old, young = task(1, age=100), task(1, age=5)
    assert acts(plan(1, young, old)) == ([], [], [young])


def test_stop_first_ends_the_old_pod_and_waits_until_it_is_gone() -> None:
    first, second = task(1, "old"), task(2, "old")
    assert acts(plan(2, first, second)) == ([], [first], [])
    assert acts(plan(2, task(1, "old", deleting=True), second)) == ([], [], [])
    assert acts(plan(2, second)) == (["1"], [], [])


def test_an_old_pod_whose_node_is_silent_is_not_waited_for() -> None:
    body = builders.pod(labels={"motet.dev/slot": "1", TEMPLATE_LABEL: "old"}, ready=None, deleting=True)
    body["status"]["conditions"][0]["reason"] = "NodeNotReady"
    body["metadata"]["deletionGracePeriodSeconds"] = 30
    assert acts(plan(1, view(TaskPod, body)))[0] == ["1"]


def test_what_was_marked_to_stop_before_a_crash_is_stopped() -> None:
    marked = task(1, "old", marked=True)
    assert acts(plan(1, marked)) == ([], [marked], [])


def test_start_first_ends_the_old_pod_when_the_new_one_is_ready() -> None:
    rules = {"order": "start-first"}
    old = task(1, "old")
    assert acts(plan(1, old, update=rules)) == (["1"], [], [])
    assert acts(plan(1, old, task(1, ready=None), update=rules)) == ([], [], [])
    assert acts(plan(1, old, task(1), update=rules)) == ([], [old], [])


def test_no_more_slots_than_the_limit_are_renewed_at_a_time() -> None:
    olds = [task(number, "old") for number in range(1, 6)]
    assert len(plan(5, *olds, update={"parallelism": 2}).stop) == 2
    assert len(plan(5, *olds, update={"parallelism": 0}).stop) == 5
    assert acts(plan(5, *olds[1:], task(1, ready=None))) == ([], [], [])


def test_slots_that_do_not_work_are_renewed_first() -> None:
    broken = task(2, "old", ready=None)
    assert plan(2, task(1, "old"), broken).stop == (broken,)


def test_the_delay_counts_from_the_last_slot_that_became_ready() -> None:
    rules = {"delaySeconds": 10}
    found = plan(2, task(1, ready=4), task(2, "old"), update=rules)
    assert (acts(found), found.look_again) == (([], [], []), 6)
    assert len(plan(2, task(1, ready=11), task(2, "old"), update=rules).stop) == 1


def test_enough_pods_stay_ready() -> None:
    olds = [task(number, "old") for number in range(1, 5)]
    rules = {"parallelism": 0, "minimumHealthyPercent": 60}
    assert len(plan(4, *olds, update=rules).stop) == 1


def test_no_more_pods_than_the_limit_are_started() -> None:
    olds = [task(number, "old") for number in range(1, 5)]
    rules = {"parallelism": 0, "order": "start-first", "minimumHealthyPercent": 100, "maximumPercent": 150}
    assert len(plan(4, *olds, update=rules).create) == 2


def test_the_other_order_is_taken_where_the_limits_leave_no_choice() -> None:
    rules = {"minimumHealthyPercent": 100, "maximumPercent": 200}
    assert acts(plan(1, task(1, "old"), update=rules)) == (["1"], [], [])


@pytest.mark.parametrize(
    ("wanted", "least", "most", "found"),
    [(4, 50, 200, (2, 8)), (3, 50, 150, (2, 4)), (1, 50, 150, (0, 1)), (0, 50, 150, (0, 0)), (4, 0, None, (0, None))],
)
def test_shares_are_rounded_towards_the_safe_side_but_leave_room(
    wanted: int, least: int, most: int | None, found: tuple[int, int | None]
) -> None:
    assert limits(wanted, Update(minimum_healthy_percent=least, maximum_percent=most)) == found


def test_an_update_that_is_paused_renews_nothing_but_fills_what_is_lost() -> None:
    assert acts(plan(2, task(1, "old"), paused=True)) == (["2"], [], [])


def test_a_pod_on_a_node_that_no_longer_fits_is_moved() -> None:
    moved = task(1)
    found = decide(scene(1, moved, misplaced=lambda pod: pod is moved))
    assert (acts(found), found.record) == (([], [moved], []), None)


def a_node(name: str, labels: dict[str, str], **spec: Any) -> NodeView:
    return view(NodeView, {"metadata": {"name": name, "labels": labels}, "spec": spec})


@pytest.mark.parametrize("mode", ["global", "globalJob"])
def test_a_global_app_has_a_slot_on_every_node_that_suits(mode: str) -> None:
    body = {
        "metadata": {"name": "a"},
        "spec": {"mode": {mode: {}}, "template": {"spec": {"nodeSelector": {"disk": "ssd"}}}},
    }
    nodes = [
        a_node("fits", {"disk": "ssd"}),
        a_node("other", {}),
        a_node("cordoned", {"disk": "ssd"}, unschedulable=True),
        a_node("tainted", {"disk": "ssd"}, taints=[{"key": "x", "effect": "NoSchedule"}]),
    ]
    assert slots_of(view(AppView, body), nodes) == {"fits": Want.RUN, "cordoned": Want.KEEP, "tainted": Want.KEEP}


def test_constraints_choose_nodes_too() -> None:
    body = {
        "metadata": {"name": "a"},
        "spec": {"mode": {"global": {}}, "placement": {"constraints": ["node.labels.zone != a"]}},
    }
    nodes = [a_node("one", {"zone": "a"}), a_node("two", {"zone": "b"}), a_node("three", {})]
    assert list(slots_of(view(AppView, body), nodes)) == ["two", "three"]


def test_a_cordoned_node_keeps_its_pod_and_gets_no_new_one() -> None:
    body = builders.pod(labels={TEMPLATE_LABEL: "old"})
    body["metadata"]["annotations"] = {NODE_ANNOTATION: "n1"}
    for pods in ([], [view(TaskPod, body)]):
        found = decide(Scene(an_app({"global": {}}), "new", {"n1": Want.KEEP}, pods, NOW))
        assert acts(found) == ([], [], [])


def test_history_is_kept_up_to_the_limit() -> None:
    ended = [task(1, ended=number * 10, code=1, age=number * 10 + 1) for number in range(1, 8)]
    found = plan(1, task(1), *ended, restart={}, taskHistoryLimit=3)
    assert list(found.forget) == ended[3:]


def test_what_tells_that_an_update_fails_is_kept_while_it_goes_on() -> None:
    failed = task(1, ended=10, code=1, age=12)
    found = plan(1, task(1, age=5), failed, restart={}, taskHistoryLimit=0, status=updating(since=100))
    assert found.forget == ()
    assert plan(1, task(1, age=5), failed, restart={}, taskHistoryLimit=0).forget == (failed,)


def test_a_job_runs_so_many_at_a_time_until_all_are_done() -> None:
    mode = {"replicatedJob": {"totalCompletions": 5, "maxConcurrent": 2}}
    done, runs = task(1, ended=5, iteration=1), task(2, iteration=1)
    found = decide(scene(5, done, runs, app=an_app(mode, restart={"condition": "on-failure"}), iteration=1))
    assert (acts(found), found.record) == ((["3"], [], []), None)


def test_another_run_of_a_job_stops_what_is_left_of_the_one_before() -> None:
    mode = {"replicatedJob": {"totalCompletions": 2, "maxConcurrent": 2}}
    done, runs = task(1, ended=5, iteration=1), task(2, iteration=1)
    found = decide(scene(2, done, runs, app=an_app(mode, restart={"condition": "on-failure"}), iteration=2))
    assert acts(found) == (["1"], [runs], [])


# On a real kernel.


async def apps(world: World) -> None:
    await Apps(world.client, world.clock, world.events).run()


def document(mode: dict[str, Any], image: str = "v1", **update: Any) -> dict[str, Any]:
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
        await it.create(app.KIND, document({"replicated": {"replicas": 3}}))
        await it.until(lambda: settled(it, 3, "v1"))
        assert sorted(each["metadata"]["labels"]["motet.dev/slot"] for each in it.all(pod.KIND)) == ["1", "2", "3"]
        await it.client.patch(app.KIND, "web", {"spec": document({}, "v2", parallelism=2)["spec"]}, "default")
        await it.until(lambda: settled(it, 3, "v2"))
        await it.client.patch(app.KIND, "web", {"spec": {"mode": {"replicated": {"replicas": 1}}}}, "default")
        await it.until(lambda: settled(it, 1, "v2"))


async def test_a_global_app_follows_the_nodes(tmp_path: Path) -> None:
    async with world(tmp_path, apps) as it:
        await it.create(node.KIND, {"metadata": {"name": "n1"}})
        await it.create(app.KIND, document({"global": {}}))

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


def tasks_of(it: World) -> list[tuple[str, str]]:
    """Slot and state of every pod, history and all."""
    found = [task_of(each) for each in it.registry.table(pod.KIND)]
    return sorted((str(each.slot), each.state) for each in found)


def update_state(it: World) -> str:
    status = (it.get(app.KIND, "web") or {}).get("status") or {}
    return str((status.get("update") or {}).get("state", ""))


async def crashing_kubelet(it: World) -> None:
    """Like `kubelet`, but pods of the image `bad` end at once, and those that are stopped do so with a code."""
    await run_pods(it.client, it.clock, bad="bad")


async def test_a_failing_update_goes_back_by_itself_and_keeps_what_failed(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        body = document({"replicated": {"replicas": 2}}, failureAction="rollback", monitorSeconds=0.5)
        body["spec"]["restart"] = {"delaySeconds": 0}
        await it.create(app.KIND, body)
        await it.until(lambda: settled(it, 2, "v1"))
        bad = {"template": {"spec": {"containers": [{"name": "c", "image": "bad"}]}}}
        await it.client.patch(app.KIND, "web", {"spec": bad}, "default")
        await it.until(lambda: update_state(it) == "rollback_completed")
        found = it.get(app.KIND, "web")
        assert found is not None
        assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "v1"
        states = [state for _, state in tasks_of(it)]
        assert states.count("running") == 2
        assert {"failed", "shutdown"} <= set(states)
        assert len(it.all(controllerrevision.KIND)) == 2
        await it.client.delete(app.KIND, "web", "default")
        for each in it.all(pod.KIND):
            await it.client.delete(pod.KIND, each["metadata"]["name"], "default")
        await it.until(lambda: not it.all(pod.KIND))


async def test_a_job_runs_once_and_again_when_it_is_forced(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        body = document({"replicatedJob": {"totalCompletions": 3, "maxConcurrent": 2}}, "done")
        del body["spec"]["update"]
        await it.create(app.KIND, body)

        def complete(iteration: int) -> bool:
            status = (it.get(app.KIND, "web") or {}).get("status") or {}
            job = status.get("job") or {}
            return job.get("iteration") == iteration and job.get("completed") == 3 and "completedAt" in job

        await it.until(lambda: complete(1))
        assert tasks_of(it) == [("1", "complete"), ("2", "complete"), ("3", "complete")]
        await it.client.patch(app.KIND, "web", {"spec": {"forceUpdate": 1}}, "default")
        await it.until(lambda: complete(2))
        assert len(it.all(pod.KIND)) == 6
