"""What Docker is told of an App's progress."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dialects.docker.test_servicespec import FULL, app_of, stored
from motet.controllers.appversion import version_of
from motet.dialects.docker import rollbacks, seals, services, servicespec
from motet.dialects.docker.call import Call
from motet.kinds import app as app_kind
from motet.store.document import Document, encode, stamp

SPEC: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "task", "image": "busybox:1"}]}}}
NOW = version_of(SPEC)
KEY = b"the manager's"


@pytest.mark.parametrize(
    ("status", "iteration"),
    [
        ({}, 1),
        ({"version": NOW, "job": {"iteration": 1}}, 1),
        ({"version": "before", "job": {"iteration": 1}}, 2),
        ({"version": NOW, "job": {"iteration": 4}}, 4),
    ],
)
def test_the_run_of_a_job_is_known_before_it_begins(status: dict[str, Any], iteration: int) -> None:
    assert services.job_iteration(SPEC, status) == iteration


def test_an_update_is_told_of() -> None:
    status = {"update": {"state": "updating", "version": NOW, "startedAt": "2026-01-31T10:20:30Z"}}
    assert services.update_status(SPEC, status) == {
        "State": "updating",
        "Message": "update in progress",
        "StartedAt": "2026-01-31T10:20:30Z",
    }


def test_the_end_of_an_earlier_update_is_not_the_present_ones() -> None:
    assert services.update_status(SPEC, {"update": {"state": "completed", "version": "before"}}) is None


def failing() -> Document:
    """A service of which an update has changed everything, and whose controller has put its pods back."""
    before = stored(app_of(FULL))
    after = {**deepcopy(FULL), "Labels": {"a b": "d"}, "EndpointSpec": {"Mode": "dnsrr"}}
    after["Mode"] = {"Replicated": {"Replicas": 1}}
    after["TaskTemplate"]["ContainerSpec"]["Image"] = "busybox:2"
    changed = services.changed_app(before, app_of(after), back=False)
    changed["spec"]["template"] = before.decode()["spec"]["template"]
    annotations = {
        app_kind.ROLLBACK: version_of(changed["spec"]),
        app_kind.ROLLBACK_REASON: "rollback initiated: it failed",
    }
    previous = changed["metadata"]["annotations"][servicespec.PREVIOUS]
    changed["metadata"]["annotations"] |= {**annotations, seals.SEAL: seals.of(KEY, before.meta.uid, previous)}
    return Document(before.key, stamp(encode(changed), 8), 8)


def test_all_of_a_service_goes_back_and_the_pods_are_as_the_controller_has_them() -> None:
    app = failing()
    assert rollbacks.unfinished(app, KEY)
    before = servicespec.previous_of(app)
    back = Document(app.key, stamp(encode(services.gone_back(app, app_of(before or {}))), 9), 9)
    assert servicespec.without_zeros(servicespec.service_spec(back)) == servicespec.without_zeros(before)
    assert version_of(back.decode()["spec"]) == version_of(app.decode()["spec"])
    assert (back.meta.annotations or {})[app_kind.ROLLBACK_REASON] == "rollback initiated: it failed"
    assert not rollbacks.unfinished(back, KEY)


def test_who_goes_back_on_purpose_has_said_what_of() -> None:
    changed = failing().decode()
    changed["metadata"]["annotations"][app_kind.ROLLBACK_REASON] = "manually requested rollback"
    assert not rollbacks.unfinished(stored(changed), KEY)


def test_what_others_have_written_is_not_put_back() -> None:
    app = failing()
    assert rollbacks.unfinished(stored(app.decode()), KEY)
    assert not rollbacks.unfinished(app, b"another manager's")
    for key, text in ((servicespec.PREVIOUS, '{"Name":"mine"}'), (seals.SEAL, "é"), (seals.SEAL, "")):
        changed = app.decode()
        changed["metadata"]["annotations"][key] = text
        assert not rollbacks.unfinished(stored(changed), KEY)
    elsewhere = app.decode()
    elsewhere["metadata"]["uid"] = "00000000-0000-4000-8000-00000000000f"
    assert not rollbacks.unfinished(Document(app.key, stamp(encode(elsewhere), 9), 9), KEY)


def test_only_who_may_write_services_has_the_manager_put_them_back() -> None:
    class Kernel:
        def __init__(self, *allowed: str) -> None:
            self.allowed = allowed

        async def request(self, method: str, path: str, body: Any) -> bytes:
            asked = body["spec"]["resourceAttributes"]
            assert (asked["resource"], asked["namespace"]) == ("services", "default")
            return encode({"status": {"allowed": asked["verb"] in self.allowed}})

    def sealed(*allowed: str) -> bool:
        call = cast(Call, SimpleNamespace(client=Kernel(*allowed)))
        return asyncio.run(seals.may_be_put_back(call, "default"))

    assert sealed("create", "update", "delete")
    assert not sealed("create", "update")
    assert not sealed()


def test_an_update_that_goes_on_is_no_unfinished_rollback() -> None:
    changed = services.changed_app(stored(app_of(FULL)), app_of(FULL), back=False)
    assert not rollbacks.unfinished(stored(changed), KEY)


def test_how_many_tasks_there_are_is_an_autoscalers_business() -> None:
    app = failing()
    before = app_of(servicespec.previous_of(app) or {})
    assert services.gone_back(app, before)["spec"]["mode"] == {"replicated": {"replicas": 3}}
    before["spec"]["autoscale"] = {"max": 9}
    assert services.gone_back(app, before)["spec"]["mode"] == {"replicated": {"replicas": 1}}


@pytest.mark.parametrize(
    ("state", "goes_on"), [("paused", True), ("rollback_paused", True), ("updating", False), ("", False)]
)
def test_an_update_that_was_paused_goes_on_with_the_next_one(state: str, goes_on: bool) -> None:
    app = services.changed_app(stored(app_of(FULL)), app_of(FULL), back=False)
    app["status"] = {"update": {"state": state}} if state else {}
    services.resume(app, datetime(2026, 11, 28, tzinfo=UTC))
    said = app["metadata"]["annotations"].get(app_kind.RESUMED)
    assert said == ("2026-11-28T00:00:00Z" if goes_on else None)
