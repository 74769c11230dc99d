"""What is decided of APIServices, without anybody to ask."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.controllers.builders import NOW

from motet.api.aggregation import local
from motet.api.http.discovery import local_groups
from motet.controllers.apiservices import decide, registered
from motet.kinds.catalogue import Catalogue

Json = dict[str, Any]
PASSED = ("True", "Passed", "all checks passed")
AWAY = ("False", "FailedDiscoveryCheck", "away")
WANTED: Json = {"spec": {"group": "g", "version": "v1"}}


def test_deciding_twice_changes_nothing_and_time_passes_only_with_the_status() -> None:
    once = decide({}, PASSED, NOW)
    later = NOW + timedelta(minutes=1)
    assert decide(once, PASSED, later) == once
    away = decide(once, AWAY, later)
    since = [each["status"]["conditions"][0]["lastTransitionTime"] for each in (once, away)]
    assert since[0] != since[1]


def found(managed: str, **spec: Any) -> Json:
    return {"metadata": {"labels": {"kube-aggregator.kubernetes.io/automanaged": managed}}, "spec": spec}


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        (found("true", group="other"), WANTED, found("true", **WANTED["spec"])),
        (found("onstart", group="other"), WANTED, found("onstart", group="other")),
        (found("true", group="g"), None, None),
        (found("onstart", group="g"), None, None),
        (found("onstart", group="g", service={}), None, found("onstart", group="g", service={})),
        (found("", group="g", service={}), None, found("", group="g", service={})),
    ],
)
def test_what_this_server_made_stays_true_and_what_others_made_is_left(before: Json, wanted: Json, after: Json) -> None:
    assert registered(before, wanted) == after


def test_every_version_that_is_served_is_registered_once_and_in_order() -> None:
    catalogue = Catalogue()
    groups = local_groups(catalogue)
    made = local.registrations(groups, catalogue)
    assert len(made) == sum(map(len, groups.values()))
    priorities = {
        (each["spec"].get("group", ""), each["spec"]["version"]): (
            each["spec"]["groupPriorityMinimum"],
            each["spec"]["versionPriority"],
        )
        for each in made.values()
    }
    found = local.ordered(groups, priorities)
    assert list(found)[:3] == ["", "apps", "events.k8s.io"]
    assert list(found)[-1] == "metrics.k8s.io"
    assert found["autoscaling"] == ["v2", "v1"]
    assert all(1 <= group <= 20000 and 1 <= version <= 1000 for group, version in priorities.values())
