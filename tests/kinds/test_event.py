from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds import event, event_v1
from motet.kinds.kind import Kind
from motet.kinds.schema import validate

Json = dict[str, Any]
Complaints = Callable[..., list[str]]
NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)

OLDER: Json = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "web.1", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "name": "web", "namespace": "default", "uid": "u"},
    "reason": "Pulled",
    "message": "image pulled ",
    "type": "Normal",
    "count": 3,
    "source": {"component": "agent", "host": "n1"},
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:55:00Z",
}
NEWER: Json = {
    "metadata": {"name": "web.2", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "name": "web", "namespace": "default"},
    "eventTime": "2026-01-01T00:50:00.000000Z",
    "reportingComponent": "motet.dev/agent",
    "reportingInstance": "n1",
    "action": "Pulling",
    "reason": "Pulled",
    "type": "Normal",
}


def row(kind: Kind, document: Json) -> Json:
    return {column.name: column.cell(document, NOW) for column in kind.columns}


def test_an_event_of_the_older_style_in_a_table() -> None:
    cells = row(event.KIND, OLDER)
    del cells["Name"]
    assert cells == {
        "Last Seen": "5m",
        "Type": "Normal",
        "Reason": "Pulled",
        "Object": "pod/web",
        "Subobject": "",
        "Source": "agent, n1",
        "Message": "image pulled",
        "First Seen": "60m",
        "Count": 3,
    }


def test_an_event_of_the_newer_style_in_a_table() -> None:
    series = {"count": 7, "lastObservedTime": "2026-01-01T00:59:00.000000Z"}
    cells = row(event.KIND, {**NEWER, "series": series})
    assert (cells["Last Seen"], cells["First Seen"], cells["Count"]) == ("60s", "10m", 7)
    assert cells["Source"] == "motet.dev/agent, n1"


def test_the_newer_group_shows_the_same_event_by_other_names() -> None:
    shown = deepcopy(OLDER)
    event_v1.read(shown)
    assert shown["apiVersion"] == "events.k8s.io/v1"
    assert shown["regarding"]["name"] == "web"
    assert shown["note"] == "image pulled "
    assert shown["deprecatedCount"] == 3
    assert validate.unknown_fields(event_v1.KIND.schema, shown) == []
    assert row(event_v1.KIND, shown) == row(event.KIND, OLDER)


def test_shown_and_sent_back_an_event_is_what_it_was() -> None:
    document = deepcopy(NEWER)
    event_v1.read(document)
    event_v1.write(document)
    assert document == {**NEWER, "apiVersion": "v1"}


def test_selectors_of_the_newer_group_have_stored_paths() -> None:
    assert event_v1.KIND.projection is not None
    assert set(event_v1.KIND.projection.field_paths.values()) <= set(event.KIND.field_names)


def test_both_styles_are_fine(complaints: Complaints) -> None:
    assert complaints(event.KIND, OLDER) == []
    assert complaints(event.KIND, NEWER) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {**OLDER, "involvedObject": {"namespace": "other"}},
            'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
        ),
        ({**NEWER, "action": ""}, "action: Required value"),
        ({**NEWER, "reportingComponent": ""}, "reportingController: Required value"),
        ({**NEWER, "message": "x" * 1025}, 'message: Invalid value: "": can have at most 1024 characters'),
    ],
)
def test_an_event_may_not_have(document: Json, message: str, complaints: Complaints) -> None:
    assert complaints(event.KIND, document) == [message]


def test_an_event_about_a_cluster_wide_object_lives_in_the_default_namespace(complaints: Complaints) -> None:
    assert complaints(event.KIND, {**OLDER, "involvedObject": {"kind": "Node", "name": "n1"}}) == []
