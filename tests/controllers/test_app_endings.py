"""Pods of Apps that end for good: work that is done is not done again, and what was merely lost is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers import builders
from tests.controllers.builders import NOW, view

from motet.controllers.app import AppView, status_of
from motet.controllers.placement import SLOT_LABEL, TEMPLATE_LABEL, Plan, Update, Want, decide
from motet.controllers.podview import PodView


def ended(
    phase: str = "Succeeded", *, template: str = "new", policy: str = "OnFailure", reason: str = "", slot: int = 1
) -> PodView:
    body = builders.pod(labels={SLOT_LABEL: str(slot), TEMPLATE_LABEL: template}, phase=phase, ready=None)
    body["spec"]["restartPolicy"] = policy
    if reason:
        body["status"]["reason"] = reason
    return view(PodView, body)


def running(template: str, slot: int = 1) -> PodView:
    return view(PodView, builders.pod(labels={SLOT_LABEL: str(slot), TEMPLATE_LABEL: template}))


def plan(*pods: PodView, slots: int = 1) -> Plan:
    wanted = {str(number): Want.RUN for number in range(1, slots + 1)}
    return decide(wanted, pods, "new", Update(), NOW)


def progressing(*pods: PodView, slots: int = 1) -> str:
    body: dict[str, Any] = {"metadata": {"name": "job", "uid": "u", "generation": 1}}
    status = status_of(view(AppView, body), slots, pods, "new", NOW)
    return next(item.status for item in status.conditions if item.type == "Progressing")


def test_work_that_is_done_is_not_done_again() -> None:
    assert plan(ended()) == Plan()


def test_a_failure_is_final_when_the_pod_says_never() -> None:
    assert plan(ended("Failed", policy="Never")) == Plan()


@pytest.mark.parametrize(
    "pod",
    [ended("Failed"), ended("Failed", policy="Never", reason="Evicted"), ended("Failed", policy="Always")],
)
def test_a_pod_that_was_lost_is_replaced(pod: PodView) -> None:
    assert plan(pod).create == ("1",)


def test_a_new_template_does_the_work_anew() -> None:
    assert plan(ended(template="old")).create == ("1",)


def test_an_old_pod_beside_finished_work_is_stopped_once() -> None:
    old = running("old")
    assert plan(ended(), old).delete == (old,)


def test_finished_slots_do_not_hold_back_the_others() -> None:
    assert plan(ended(), running("old", 2), slots=2).delete != ()


def test_an_app_whose_work_is_done_is_not_progressing() -> None:
    assert progressing(ended()) == "False"
    assert progressing(ended(), running("new", 2), slots=2) == "False"
    assert progressing(ended(), slots=2) == "True"
    assert progressing(ended(), ended(slot=2), slots=1) == "False"
