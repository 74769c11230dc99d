"""Pods of Apps that end for good: work that is done is not done again, and what was merely lost is."""

from __future__ import annotations

import pytest
from tests.controllers.app_scenes import acts, scene, task
from tests.controllers.app_scenes import plan as decided

from motet.controllers.apps import Plan
from motet.controllers.appstatus import Revisions, decide
from motet.controllers.appview import TaskPod


def ended(
    phase: str = "Succeeded", *, template: str = "new", policy: str = "OnFailure", reason: str = "", slot: int = 1
) -> TaskPod:
    return task(slot, template, ended=5, code=int(phase == "Failed"), policy=policy, reason=reason)


def running(template: str, slot: int = 1) -> TaskPod:
    return task(slot, template)


def plan(*pods: TaskPod, slots: int = 1) -> Plan:
    return decided(slots, *pods)


def progressing(*pods: TaskPod, slots: int = 1) -> str:
    status = decide(scene(slots, *pods), None, Revisions())
    return next(item.status for item in status.conditions if item.type == "Progressing")


def test_work_that_is_done_is_not_done_again() -> None:
    assert not plan(ended()).acts()


def test_a_failure_is_final_when_the_pod_says_never() -> None:
    assert not plan(ended("Failed", policy="Never")).acts()


@pytest.mark.parametrize(
    "pod",
    [ended("Failed"), ended("Failed", policy="Never", reason="Evicted"), ended("Failed", policy="Always")],
)
def test_a_pod_that_was_lost_is_replaced(pod: TaskPod) -> None:
    assert acts(plan(pod))[0] == ["1"]


def test_a_new_template_does_the_work_anew() -> None:
    assert acts(plan(ended(template="old")))[0] == ["1"]


def test_an_old_pod_beside_finished_work_is_stopped_once() -> None:
    old = running("old")
    assert plan(ended(), old).stop == (old,)


def test_finished_slots_do_not_hold_back_the_others() -> None:
    assert plan(ended(), running("old", 2), slots=2).stop != ()


def test_an_app_whose_work_is_done_is_not_progressing() -> None:
    assert progressing(ended()) == "False"
    assert progressing(ended(), running("new", 2), slots=2) == "False"
    assert progressing(ended(), slots=2) == "True"
    assert progressing(ended(), ended(slot=2), slots=1) == "False"
