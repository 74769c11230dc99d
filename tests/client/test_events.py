"""Events are counted rather than repeated, and never flood."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from motet.base.clock import FakeClock
from motet.base.errors import Forbidden, not_found
from motet.client.events import NORMAL, WARNING, About, EventRecorder

WEB = About("v1", "Pod", "web", "default", "u1", "7", "spec.containers{c}")


class Kept:
    """A client that keeps events in a dict."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.refuse = False

    async def create(self, kind: Any, document: Any, namespace: str = "") -> None:
        if self.refuse:
            raise Forbidden("no")
        assert document["metadata"]["name"] not in self.events
        self.events[document["metadata"]["name"]] = dict(document)

    async def patch(self, kind: Any, name: str, patch: Any, namespace: str = "") -> None:
        if name not in self.events:
            raise not_found("", "events", name)
        self.events[name].update(patch)

    def told(self) -> list[tuple[str, int]]:
        return [(each["message"], each["count"]) for each in self.events.values()]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def recorder(kept: Kept, clock: FakeClock) -> EventRecorder:
    return EventRecorder(kept, clock, "kubelet", "n1")  # type: ignore[arg-type]


async def test_an_event_says_what_happened_to_whom_and_who_says_so(recorder: EventRecorder, kept: Kept) -> None:
    recorder.event(WEB, WARNING, "BackOff", "again")
    await recorder.flush()
    (event,) = kept.events.values()
    assert event["metadata"]["name"].startswith("web.")
    assert event["metadata"]["namespace"] == "default"
    assert event["involvedObject"]["uid"] == "u1"
    assert event["involvedObject"]["fieldPath"] == "spec.containers{c}"
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Warning", "BackOff", "again", 1)
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z"


async def test_what_is_about_the_whole_cluster_goes_to_the_default_namespace(
    recorder: EventRecorder, kept: Kept
) -> None:
    recorder.event(About("v1", "Node", "n1"), NORMAL, "Starting", "hello")
    await recorder.flush()
    assert [each["metadata"]["namespace"] for each in kept.events.values()] == ["default"]


async def test_the_same_again_raises_the_count(recorder: EventRecorder, kept: Kept, clock: FakeClock) -> None:
    recorder.event(WEB, WARNING, "BackOff", "again")
    await recorder.flush()
    await clock.advance(5)
    recorder.event(WEB, WARNING, "BackOff", "again")
    recorder.event(WEB, WARNING, "BackOff", "again")
    await recorder.flush()
    (event,) = kept.events.values()
    assert event["count"] == 3
    assert event["firstTimestamp"] != event["lastTimestamp"]


async def test_an_expired_event_is_written_anew(recorder: EventRecorder, kept: Kept, clock: FakeClock) -> None:
    recorder.event(WEB, WARNING, "BackOff", "again")
    await recorder.flush()
    kept.events.clear()
    await clock.advance(1)
    recorder.event(WEB, WARNING, "BackOff", "again")
    await recorder.flush()
    assert kept.told() == [("again", 1)]


async def test_many_similar_ones_become_one(recorder: EventRecorder, kept: Kept) -> None:
    for number in range(15):
        recorder.event(WEB, NORMAL, "Created", f"pod {number}")
    await recorder.flush()
    assert len(kept.events) == 11
    combined = [(message, count) for message, count in kept.told() if message.startswith("(combined")]
    assert [message for message, _ in combined] == ["(combined from similar events): pod 14"]
    assert combined[0][1] == 5


async def test_one_object_cannot_flood_and_others_are_still_heard(recorder: EventRecorder, kept: Kept) -> None:
    for _ in range(100):
        recorder.event(WEB, NORMAL, "Pulled", "x")
    recorder.event(About("v1", "Pod", "other", "default", "u2"), NORMAL, "Pulled", "y")
    await recorder.flush()
    assert sorted(kept.told()) == [("x", 25), ("y", 1)]


async def test_patience_brings_new_words(recorder: EventRecorder, kept: Kept, clock: FakeClock) -> None:
    for _ in range(30):
        recorder.event(WEB, NORMAL, "Pulled", "x")
    await clock.advance(601)
    recorder.event(WEB, NORMAL, "Pulled", "x")
    await recorder.flush()
    assert kept.told() == [("x", 26)]


async def test_a_refused_event_is_dropped_quietly(recorder: EventRecorder, kept: Kept) -> None:
    kept.refuse = True
    recorder.event(WEB, NORMAL, "Pulled", "x")
    await recorder.flush()
    assert kept.events == {}
