from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import daemonset

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

KIND = daemonset.KIND
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
FINE: Json = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}
GENERATION = "deprecated.daemonset.template.generation"


def test_a_daemon_set_is_filled_in(created: Create) -> None:
    document = created(KIND, FINE)
    spec = document["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    assert spec["revisionHistoryLimit"] == 10
    assert document["metadata"]["annotations"] == {GENERATION: "1"}
    assert document["status"]["desiredNumberScheduled"] == 0


def test_the_generation_of_the_template_grows_with_it_and_only_with_it(created: Create, change: Create) -> None:
    old = created(KIND, FINE)
    scaled = change(old, {"metadata": {"annotations": None}, "spec": {"minReadySeconds": 5}})
    KIND.prepare_update(scaled, old)
    assert scaled["metadata"]["annotations"] == {GENERATION: "1"}
    rolled = change(old, {"spec": {"template": {"spec": {"hostNetwork": True}}}})
    KIND.prepare_update(rolled, old)
    assert rolled["metadata"]["annotations"] == {GENERATION: "2"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"rollingUpdate": {"maxUnavailable": 0}},
            "rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (
            {"rollingUpdate": {"maxSurge": 1}},
            "rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ),
        (
            {"rollingUpdate": {"maxUnavailable": "101%"}},
            'rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
        ),
        ({"type": "Recreate"}, 'type: Unsupported value: "Recreate": supported values: "OnDelete", "RollingUpdate"'),
    ],
)
def test_a_strategy_may_not_be(changes: Json, expected: str, complaints: Complaints, change: Create) -> None:
    found = complaints(KIND, change(FINE, {"spec": {"updateStrategy": changes}}))
    assert found == [f"spec.updateStrategy.{expected}"]


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"minReadySeconds": -1}, "spec.minReadySeconds: Invalid value: -1"),
        (
            {"selector": {"matchLabels": None}},
            "spec.selector: Invalid value: {}: empty selector is invalid for daemonset",
        ),
        (
            {"template": {"spec": {"restartPolicy": "OnFailure"}}},
            'spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"',
        ),
        (
            {"template": {"spec": {"activeDeadlineSeconds": 1}}},
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
        ),
    ],
)
def test_a_daemon_set_may_not_have(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    (found,) = complaints(KIND, change(FINE, {"spec": changes}))
    assert found.startswith(start)


def test_a_surge_alone_is_fine_and_the_selector_stays(
    complaints: Complaints, update_complaints: Complaints, change: Create
) -> None:
    surge = {"spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0}}}}
    assert complaints(KIND, change(FINE, surge)) == []
    wider = change(FINE, {"spec": {"template": {"metadata": {"labels": {"c": "d"}}}}})
    (found,) = update_complaints(KIND, wider, {"spec": {"selector": {"matchLabels": {"c": "d"}}}})
    assert found.endswith("field is immutable")
