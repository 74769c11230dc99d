"""What Apps wait for: by hand and on a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers.app_scenes import an_app, scene, task
from tests.controllers.test_app import apps, crashing_kubelet
from tests.controllers.world import World, world

from motet.controllers import appdepends
from motet.controllers.appdepends import Dependants, Gate
from motet.controllers.apps import decide
from motet.controllers.appview import AppView, TaskPod
from motet.kinds import app, pod

CURRENT = {"observedGeneration": 1, "version": "new", "desiredReplicas": 2}


def waiting(condition: str = "healthy", status: Any = None, **spec: Any) -> AppView:
    return an_app(status=status, dependsOn=[{"name": "db", "condition": condition}], **spec)


def gate(condition: str, *pods: TaskPod, status: Any = CURRENT) -> Gate:
    return appdepends.decide(waiting(condition), "new", 0, lambda name: (an_app(status=status), pods))


@pytest.mark.parametrize(
    ("pods", "met"),
    [
        ([], set()),
        ([task(1), task(2, phase="Pending", ready=None)], set()),
        ([task(1), task(2, ready=None)], {"started"}),
        ([task(1), task(2)], {"started", "healthy"}),
        ([task(1), task(1)], set()),
        ([task(1), task(2, "old")], set()),
        ([task(1, ended=5), task(2, ended=3)], {"started", "completed"}),
        ([task(1, ended=5), task(2, ended=3, code=1)], set()),
    ],
)
def test_conditions_are_met_slot_by_slot(pods: list[TaskPod], met: set[str]) -> None:
    assert {each for each in ("started", "healthy", "completed") if gate(each, *pods).open} == met


def test_what_is_missing_is_said() -> None:
    assert gate("healthy").waits == ("db is not healthy yet",)
    assert appdepends.decide(waiting(), "new", 0, lambda name: None).waits == ("there is no App db yet",)


def test_a_circle_is_named() -> None:
    apps = {
        "db": an_app(dependsOn=[{"name": "cache"}]),
        "cache": an_app(dependsOn=[{"name": "log"}, {"name": "web"}]),
        "log": an_app(dependsOn=[{"name": "log2"}]),
    }

    def other(name: str) -> tuple[AppView, list[TaskPod]] | None:
        return (apps[name], []) if name in apps else None

    waits = appdepends.decide(waiting(), "new", 0, other).waits
    assert waits == ("db is not healthy yet", "they wait for each other: web -> db -> cache -> web")
    del apps["cache"]
    assert appdepends.decide(waiting(), "new", 0, other).waits == ("db is not healthy yet",)


def test_a_status_about_something_else_meets_nothing() -> None:
    assert not gate("started", task(1), task(2), status={**CURRENT, "observedGeneration": 0}).open


def test_what_has_begun_does_not_wait_again_but_another_version_does() -> None:
    met = waiting(status={"dependenciesMetFor": "new"})
    assert appdepends.decide(met, "new", 0, lambda name: None).open
    assert appdepends.decide(met, "newer", 0, lambda name: None) == Gate("new", ("there is no App db yet",))
    assert not appdepends.decide(met, "new", 2, lambda name: None).open


def test_a_rollback_waits_for_nobody() -> None:
    back = an_app(annotations={"motet.dev/rollback-to": "new"}, dependsOn=[{"name": "db"}])
    assert appdepends.decide(back, "new", 0, lambda name: None).open


def test_behind_a_gate_nothing_begins_and_what_is_there_stays() -> None:
    shut = Gate("old", ("db is not healthy yet",))
    assert not decide(scene(2, gate=shut)).create
    assert not decide(scene(2, task(1, "old"), task(2, "old"), gate=shut)).acts()
    assert decide(scene(2, task(1, "old"), task(2, "old"), gate=Gate("new"))).acts()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.frozensets(st.sampled_from("abcd"))), max_size=12))
def test_law_dependants_are_those_of_the_latest_word(said: list[tuple[str, frozenset[str]]]) -> None:
    index, latest = Dependants(), {}
    for name, needed in said:
        index.set("ns", name, sorted(needed))
        latest[name] = needed
    for other in "abcd":
        assert index.of("ns", other) == sorted(name for name, needed in latest.items() if other in needed)


def document(name: str, image: str, condition: str = "", **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    if condition:
        spec["dependsOn"] = [{"name": "db", "condition": condition}]
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


def has_tasks(it: World, name: str) -> bool:
    return any(each["metadata"]["labels"]["motet.dev/app"] == name for each in it.all(pod.KIND))


def waits(it: World, name: str) -> str:
    status = (it.get(app.KIND, name) or {}).get("status") or {}
    return next((each["message"] for each in status.get("conditions", ()) if each["type"] == "DependenciesMet"), "")


async def test_tasks_begin_when_what_they_need_is_there(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        await it.create(app.KIND, document("web", "v1", "healthy"))
        await it.create(app.KIND, document("report", "v1", "completed"))
        await it.until(lambda: waits(it, "web") == waits(it, "report") == "there is no App db yet")
        await it.create(app.KIND, document("db", "v1"))
        await it.until(lambda: has_tasks(it, "web") and waits(it, "web") == "all are met")
        await it.until(lambda: waits(it, "report") == "db is not completed yet")
        assert not has_tasks(it, "report")
        await it.client.delete(app.KIND, "db", "default")
        job = {"replicatedJob": {}}
        for each in it.all(pod.KIND):
            if each["metadata"]["labels"]["motet.dev/app"] == "db":
                await it.client.delete(pod.KIND, each["metadata"]["name"], "default")
        await it.create(app.KIND, document("db", "done", mode=job))
        await it.until(lambda: has_tasks(it, "report"))
