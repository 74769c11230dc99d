from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import replicationcontroller

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

KIND = replicationcontroller.KIND
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
FINE: Json = {"spec": {"template": TEMPLATE}}


def test_the_labels_of_the_template_select_and_label(created: Create) -> None:
    document = created(KIND, FINE)
    assert document["spec"]["selector"] == {"a": "b"}
    assert document["metadata"]["labels"] == {"a": "b"}
    assert document["spec"]["replicas"] == 1


def test_a_selector_and_labels_that_are_given_stay(created: Create, change: Create) -> None:
    two = {"template": {"metadata": {"labels": {"c": "d"}}}, "selector": {"a": "b"}}
    document = created(KIND, change(FINE, {"metadata": {"name": "web", "labels": {"x": "y"}}, "spec": two}))
    assert document["spec"]["selector"] == {"a": "b"}
    assert document["metadata"]["labels"] == {"x": "y"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"template": {"metadata": None}}, "spec.selector: Required value"),
        (
            {"selector": {"a": "c"}},
            'spec.template.metadata.labels: Invalid value: {"a": "b"}: `selector` does not match template `labels`',
        ),
        (
            {"template": {"spec": {"restartPolicy": "Never"}}},
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
        (
            {"template": {"spec": {"activeDeadlineSeconds": 5}}},
            "spec.template.spec.activeDeadlineSeconds: Forbidden: "
            "activeDeadlineSeconds in ReplicationController is not Supported",
        ),
    ],
)
def test_a_controller_may_not_have(changes: Json, expected: str, complaints: Complaints, change: Create) -> None:
    assert complaints(KIND, change(FINE, {"spec": changes})) == [expected]


def test_a_template_is_needed(complaints: Complaints) -> None:
    assert complaints(KIND, {"spec": {"selector": {"a": "b"}}}) == ["spec.template: Required value"]


def test_the_selector_may_change(update_complaints: Complaints, change: Create) -> None:
    wider = change(FINE, {"spec": {"template": {"metadata": {"labels": {"c": "d"}}}}})
    assert update_complaints(KIND, wider, {"spec": {"selector": {"a": None}}}) == []


def test_the_scale_shows_the_selector_as_text(created: Create) -> None:
    assert KIND.scale is not None
    assert KIND.scale.selector(created(KIND, FINE)) == "a=b"
