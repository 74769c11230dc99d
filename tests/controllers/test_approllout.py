"""How updates and rollbacks go: what counts as a failure, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers.app_scenes import plan, task, updating
from tests.controllers.builders import ago

from motet.controllers.apps import Plan
from motet.controllers.appview import TaskPod, UpdateRecord

EARLIER = {"previous": True, "changed": True}


def state(found: Plan) -> tuple[str, int]:
    assert found.record is not None
    return found.record.state, found.record.failures


def failing(*pods: TaskPod, since: float = 200, state: str = "updating", count: int = 4, **spec: Any) -> Plan:
    status = updating(state, since, **spec.pop("record", {}))
    rules = {"parallelism": 0, **spec.pop("update", {})}
    return plan(count, *pods, status=status, options=EARLIER, restart={}, update=rules, **spec)


def crashed(slot: int = 1, **options: Any) -> TaskPod:
    return task(slot, **{"ended": 10, "code": 1, "lived": 2, "age": 12, **options})


def test_the_first_version_is_no_update() -> None:
    assert plan(2).record is None


def test_another_version_begins_one() -> None:
    found = plan(1, task(1, "old"), options=EARLIER).record
    assert found == UpdateRecord("updating", "new", ago(0), message="update in progress")


def test_it_is_over_when_all_are_ready_and_have_been_watched() -> None:
    rules = {"monitorSeconds": 30}
    found = failing(task(1, ready=10), count=1, update=rules)
    assert (state(found), found.look_again) == (("updating", 0), 20)
    found = failing(task(1, ready=31), count=1, update=rules)
    assert state(found) == ("completed", 0)
    assert found.record is not None
    assert found.record.completed_at == ago(0)


def test_too_many_failures_pause_it() -> None:
    found = failing(crashed(), task(2, "old"), count=2)
    assert state(found) == ("paused", 1)
    assert found.stop == ()
    assert found.record is not None
    assert found.record.message == "update paused: 1 of 2 failed within 5 s of starting"


def test_or_have_it_rolled_back() -> None:
    found = failing(crashed(), update={"failureAction": "rollback"})
    assert found.roll_back
    assert found.record is not None
    assert found.record.failures == 1


def test_what_has_nothing_to_go_back_to_is_paused() -> None:
    rules = {"failureAction": "rollback"}
    found = plan(1, crashed(), status=updating(), restart={}, update=rules, options={"changed": True})
    assert not found.roll_back
    assert state(found) == ("paused", 1)


def test_or_it_goes_on() -> None:
    found = failing(crashed(), task(2, "old"), count=2, update={"failureAction": "continue", "parallelism": 1})
    assert state(found) == ("updating", 1)
    assert len(found.stop) == 1


def test_a_share_of_failures_is_put_up_with() -> None:
    rules = {"maxFailureRatio": 0.25}
    assert state(failing(crashed(), update=rules)) == ("updating", 1)
    assert state(failing(crashed(1), crashed(2), update=rules)) == ("paused", 2)


@pytest.mark.parametrize(
    "pod",
    [
        crashed(lived=60, age=80),  # it ran for longer than anybody watched
        crashed(age=300, ended=290),  # before the update began
        crashed(version="old"),
        crashed(marked=True),
        crashed(reason="Evicted"),
        task(1, stuck="ErrImagePull", ready=None, age=2),  # it may still get its image
    ],
)
def test_no_failure_is(pod: TaskPod) -> None:
    assert state(failing(pod)) == ("updating", 0)


@pytest.mark.parametrize(
    "pod",
    [
        crashed(),
        crashed(code=0),
        task(1, stuck="ErrImagePull", ready=None, age=20),
    ],
)
def test_a_failure_is(pod: TaskPod) -> None:
    assert state(failing(pod)) == ("paused", 1)


def test_a_pause_lasts_although_its_reason_is_forgotten() -> None:
    assert state(failing(state="paused", record={"failures": 1})) == ("paused", 1)


def test_until_somebody_has_it_go_on() -> None:
    resumed = {"motet.dev/resumed-at": ago(5)}
    found = failing(crashed(), state="paused", record={"failures": 1}, annotations=resumed)
    assert state(found) == ("updating", 0)
    again = failing(crashed(ended=1, age=3), state="paused", annotations=resumed)
    assert state(again) == ("paused", 1)


def test_a_resumption_of_an_earlier_update_is_none_of_this_one() -> None:
    found = failing(crashed(), state="paused", annotations={"motet.dev/resumed-at": ago(500)})
    assert state(found) == ("paused", 1)


ROLLING_BACK = {"motet.dev/rollback-to": "new", "motet.dev/rollback-reason": "it failed"}


def test_a_version_that_was_gone_back_to_is_a_rollback() -> None:
    found = plan(1, task(1, "old"), options=EARLIER, annotations=ROLLING_BACK).record
    assert found == UpdateRecord("rollback_started", "new", ago(0), message="it failed")


def test_a_rollback_that_fails_is_not_rolled_back() -> None:
    rules = {"failureAction": "rollback"}
    found = failing(crashed(), state="rollback_started", annotations=ROLLING_BACK, update=rules)
    assert not found.roll_back
    assert state(found) == ("rollback_paused", 1)


def test_a_rollback_goes_by_rules_of_its_own() -> None:
    olds = [task(number, "old") for number in range(1, 5)]
    found = failing(*olds, state="rollback_started", annotations=ROLLING_BACK, rollback={"parallelism": 3})
    assert len(found.stop) == 3


def test_a_rollback_is_over_like_an_update() -> None:
    found = failing(task(1, ready=60), count=1, state="rollback_started", annotations=ROLLING_BACK)
    assert state(found) == ("rollback_completed", 0)


def test_an_update_that_somebody_paused_says_so_and_goes_on_after() -> None:
    assert state(failing(task(1, "old"), paused=True)) == ("paused", 0)
    assert state(failing(task(1, "old"), state="paused")) == ("updating", 0)
