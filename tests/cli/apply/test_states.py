"""How services are judged from their Apps and pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from motet.base.timestamps import format_time
from motet.cli.apply.states import Phase, ServiceState, judge, pod_word
from motet.cli.apply.states import PodView as View
from motet.controllers.templates import template_hash
from motet.kinds.tasks import TEMPLATE_LABEL
from motet.store.document import Document, encode
from support.compose_world import pod_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE: dict[str, Any] = {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def app(replicas: int = 1, *, settled: bool = True, checked: bool = False, observed: int = 1) -> Document:
    container = dict(TEMPLATE["spec"]["containers"][0]) | ({"readinessProbe": {}} if checked else {})
    body = {
        "metadata": {"name": "web", "namespace": "shop", "generation": 1},
        "spec": {
            "mode": {"replicated": {"replicas": replicas}},
            "template": {"metadata": {}, "spec": {"containers": [container]}},
        },
        "status": {
            "observedGeneration": observed,
            "conditions": [{"type": "Progressing", "status": "False" if settled else "True"}],
        },
    }
    return Document.stored("motet.dev/apps/shop/web", encode(body), 1)


def pod(
    fate: str = "ready",
    *,
    of: Document | None = None,
    age: float = 60,
    restarts: int = 0,
    policy: str = "Always",
    **meta: Any,
) -> Document:
    template = (of or app()).decode()["spec"]["template"]
    labels = {TEMPLATE_LABEL: template_hash(template)}
    status = pod_status(fate, format_time(NOW - timedelta(seconds=age)), restarts)
    body = {
        "metadata": {"name": "web-1", "namespace": "shop", "labels": labels, **meta},
        "spec": {"nodeName": "n", "restartPolicy": policy},
        "status": status,
    }
    return Document.stored("core/pods/shop/web-1", encode(body), 1)


def state(*pods: Document, of: Document | None = None) -> ServiceState:
    return judge(of or app(), pods, NOW)


def test_all_pods_ready_and_the_controller_done_is_ready() -> None:
    assert state(pod()).phase is Phase.READY
    assert state(pod(), of=app(2)).phase is Phase.STARTING
    assert state(pod(), of=app(settled=False)).phase is Phase.STARTING
    assert state(pod(), of=app(observed=0)).phase is Phase.STARTING


def test_a_service_of_no_replicas_is_ready() -> None:
    assert state(of=app(0)).phase is Phase.READY


def test_pods_of_another_template_do_not_count() -> None:
    old = pod("crash", labels={TEMPLATE_LABEL: "old"})
    assert state(old).phase is Phase.STARTING
    assert state(old, pod()).phase is Phase.READY


def test_pods_on_their_way_out_do_not_count() -> None:
    assert state(pod("crash", deletionTimestamp="2026-01-01T00:00:00Z"), pod()).phase is Phase.READY


@pytest.mark.parametrize(
    ("age", "restarts", "checked", "settled"),
    [(2, 0, False, False), (4, 0, False, True), (4, 1, False, False), (11, 1, False, True), (0, 0, True, True)],
)
def test_running_for_a_moment_is_believed_unless_a_check_says_so_at_once(
    age: float, restarts: int, checked: bool, settled: bool
) -> None:
    of = app(checked=checked)
    assert state(pod(of=of, age=age, restarts=restarts), of=of).settled is settled


def test_running_is_not_ready_and_done_is_completed() -> None:
    assert state(pod("running")).phase is Phase.STARTING
    assert state(pod("done")).phase is Phase.COMPLETED


def test_a_service_that_runs_by_the_clock_is_not_waited_for() -> None:
    body = app().decode()
    body["spec"] |= {"mode": {"replicatedJob": {}}, "schedule": {"cron": "@daily"}}
    of = Document.stored("motet.dev/apps/shop/web", encode(body), 1)
    assert state(of=of).phase is Phase.STARTING
    body["status"]["schedule"] = {"nextRunTime": "2026-01-02T00:00:00Z"}
    of = Document.stored("motet.dev/apps/shop/web", encode(body), 1)
    assert (state(of=of).phase, state(of=of).detail) == (Phase.READY, "runs next at 2026-01-02T00:00:00Z")


def test_what_the_cluster_holds_back_is_said() -> None:
    held = {"type": "DependenciesMet", "status": "False", "message": "db is not healthy yet"}
    body = app().decode()
    body["status"]["conditions"] += [held]
    of = Document.stored("motet.dev/apps/shop/web", encode(body), 1)
    assert (state(of=of).phase, state(of=of).detail) == (Phase.WAITING, "waits: db is not healthy yet")
    assert state(pod(of=of), of=of).phase is Phase.READY


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (pod("crash"), "CrashLoopBackOff"),
        (pod("image"), "ErrImagePull"),
        (pod("failed", policy="Never"), "Error"),
        (pod("unschedulable", age=30), "Unschedulable"),
    ],
)
def test_hopeless_pods_fail_their_service_with_the_reason(made: Document, reason: str) -> None:
    found = state(made)
    assert found.failure is not None
    assert found.failure.reason == reason
    assert found.phase is Phase.FAILED


def test_a_first_crash_and_a_short_wait_for_a_node_are_forgiven() -> None:
    once = pod_status("crash", format_time(NOW))
    once["containerStatuses"][0]["restartCount"] = 1
    body = pod().decode() | {"status": once}
    assert state(Document.stored("core/pods/shop/web-1", encode(body), 1)).failure is None
    assert state(pod("unschedulable", age=5)).failure is None


@pytest.mark.parametrize(
    ("fate", "word"),
    [
        ("ready", "running"),
        ("running", "not ready"),
        ("done", "completed"),
        ("failed", "failed"),
        ("crash", "CrashLoopBackOff"),
        ("image", "ErrImagePull"),
    ],
)
def test_pods_have_a_word_for_their_state(fate: str, word: str) -> None:
    assert pod_word(pod(fate).view(View)) == word


def managed(status: dict[str, Any], **spec: Any) -> Document:
    """The App with more in its spec and its status."""
    body = app().decode()
    body["spec"] |= spec
    body["status"] |= status
    return Document.stored("motet.dev/apps/shop/web", encode(body), 1)


def held(kind: str, message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True", "reason": "Why", "message": message}]}


@pytest.mark.parametrize("mode", [{"replicatedJob": {"totalCompletions": 2}}, {"globalJob": {}}])
def test_a_job_is_done_or_failed_when_its_controller_says_so(mode: dict[str, Any]) -> None:
    assert state(pod(), of=managed({}, mode=mode)).phase is Phase.STARTING
    assert state(of=managed(held("Complete"), mode=mode)).phase is Phase.COMPLETED
    failed = state(of=managed(held("Failed", "1 of 2 failed for good"), mode=mode))
    assert (failed.phase, failed.detail) == (Phase.FAILED, "Why: 1 of 2 failed for good")


def test_what_was_said_of_another_version_of_a_job_is_not_said_of_this_one() -> None:
    job = managed({**held("Complete"), "observedGeneration": 0}, mode={"globalJob": {}})
    assert state(of=job).phase is Phase.STARTING


def test_an_update_that_does_not_go_on_has_failed() -> None:
    found = state(pod(), of=managed({"update": {"state": "paused", "message": "1 of 1 slots failed"}}))
    assert (found.phase, found.detail) == (Phase.FAILED, "UpdatePaused: 1 of 1 slots failed")


def test_a_task_that_failed_has_successors_as_often_as_is_forgiven() -> None:
    tasks = managed({}, restart={"condition": "on-failure", "maxAttempts": 1})
    ended = pod("failed", of=tasks, policy="Never")
    assert state(ended, of=tasks).failure is None
    assert state(ended, ended, of=tasks).failure is not None
    # Those that ended before there was one that runs are history.
    assert state(ended, ended, pod(of=tasks), of=tasks).phase is Phase.READY
    once = managed({}, restart={"condition": "none"})
    assert state(pod("failed", of=once, policy="Never"), of=once).failure is not None
