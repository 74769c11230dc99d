"""From changes of documents to Docker's events, and who hears of them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from motet.dialects.docker.containers import known
from motet.dialects.docker.events import derive
from motet.dialects.docker.events.log import KEPT, SWARM, Event, EventLog
from motet.dialects.docker.events.serve import wanted
from motet.dialects.docker.filters import Filters
from motet.store.document import Document, Key

UID = "00000000-0000-4000-8000-000000000001"
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": "2026-01-01T00:00:09Z"}}


def pod(state: dict[str, Any] | None = None, **meta: Any) -> Document:
    status = {} if state is None else {"containerStatuses": [{"name": "main", "state": state}]}
    document = {
        "metadata": {"name": "p", "namespace": "default", "uid": UID, **meta},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}]},
        "status": status,
    }
    return Document(Key("core/pods", "default", "p"), msgspec.json.encode(document), 1)


def actions(old: Document | None, new: Document | None) -> list[str]:
    return [event.action for event in derive.container(old, new)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, pod(), ["create"]),
        (pod(), pod(RUNNING), ["start"]),
        (pod(RUNNING), pod(RUNNING), []),
        (pod(RUNNING), pod(ended(3)), ["die"]),
        (pod(RUNNING), pod(ended(137, "OOMKilled")), ["oom", "die"]),
        (pod(), pod(ended(0)), ["start", "die"]),
        (pod(ended(0)), pod(ended(0)), []),
        (pod(RUNNING), pod({"running": {"startedAt": "2026-01-01T00:01:00Z"}}), ["die", "start"]),
        (pod(RUNNING), None, ["die", "destroy"]),
        (pod(ended(0)), None, ["destroy"]),
    ],
)
def test_containers_come_run_and_go(old: Document | None, new: Document | None, expected: list[str]) -> None:
    assert actions(old, new) == expected


def test_how_a_container_ended_is_told() -> None:
    event = next(derive.container(pod(RUNNING), pod(ended(3))))
    assert event.attributes == {"image": "busybox:1", "name": "p", "exitCode": "3"}
    assert event.json()["from"] == "busybox:1"


def template(**meta: Any) -> Document:
    document = {
        "metadata": {"name": "run", "namespace": "default", "uid": UID, "labels": {known.LABEL: "run"}, **meta},
        "template": {"spec": {"containers": [{"name": "main", "image": "busybox:1"}]}},
    }
    return Document(Key("core/podtemplates", "default", "run"), msgspec.json.encode(document), 1)


def test_a_container_of_docker_run_outlives_its_runs() -> None:
    owner = {"apiVersion": "v1", "kind": "PodTemplate", "name": "run", "uid": UID, "controller": True}
    run: dict[str, Any] = {"labels": {known.LABEL: "run"}, "ownerReferences": [owner]}
    (made,) = derive.made_by_run(None, template())
    assert (made.action, made.attributes) == ("create", {"image": "busybox:1", "name": "run"})
    assert [each.action for each in derive.made_by_run(template(), None)] == ["destroy"]
    assert actions(None, pod(**run)) == []
    begun = list(derive.container(pod(**run), pod(RUNNING, **run)))
    assert [(each.action, each.id) for each in begun] == [("start", made.id)]
    assert actions(pod(ended(0), **run), None) == []


def test_other_templates_are_no_containers() -> None:
    assert list(derive.made_by_run(None, template(labels={}))) == []


def claim(**meta: Any) -> Document:
    document = {"metadata": {"name": "data", "namespace": "default", "uid": UID, **meta}}
    return Document(Key("core/persistentvolumeclaims", "default", "data"), msgspec.json.encode(document), 1)


def test_what_is_being_removed_is_gone_once() -> None:
    leaving = claim(deletionTimestamp="2026-01-01T00:00:00Z")
    assert [event.action for event in derive.volume(claim(), leaving)] == ["destroy"]
    assert list(derive.volume(leaving, None)) == []


@pytest.mark.parametrize(
    ("filters", "heard"),
    [
        ({}, True),
        ({"type": ("service", "node")}, True),
        ({"type": ("node",)}, False),
        ({"event": ("update",)}, False),
        ({"service": ("web",)}, True),
        ({"service": ("abc",)}, True),
        ({"service": ("other",)}, False),
        ({"node": ("web",)}, False),
        ({"scope": ("local",)}, False),
        ({"label": ("tier=front",)}, True),
        ({"label": ("tier=back",)}, False),
        ({"plugin": ("x",)}, False),
    ],
)
def test_filters_are_for_type_action_actor_scope_and_labels(filters: dict[str, tuple[str, ...]], heard: bool) -> None:
    event = Event("service", "create", "abcdef", {"name": "web", "tier": "front"}, SWARM)
    assert wanted(event, Filters(filters)) is heard


def test_the_last_events_are_kept_and_listeners_miss_none() -> None:
    async def work() -> None:
        log = EventLog()
        for number in range(KEPT + 5):
            log.note(Event("image", "tag", str(number)))
        with log.listening() as (past, coming):
            log.note(Event("image", "tag", "next"))
            assert (len(past), past[0].id) == (KEPT, "5")
            assert coming.get_nowait().id == "next"

    asyncio.run(work())
