from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from motet.kinds import controllerrevision, podtemplate

Complaints = Callable[..., list[str]]
KIND = controllerrevision.KIND
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_revision_is_not_negative(complaints: Complaints) -> None:
    found = complaints(KIND, {"revision": -1, "data": {}})
    assert found == ["revision: Invalid value: -1: must be greater than or equal to 0"]


def test_data_stays_as_it_was_and_the_number_may_change(update_complaints: Complaints) -> None:
    assert update_complaints(KIND, {"revision": 1, "data": {"a": 1}}, {"revision": 2}) == []
    assert update_complaints(KIND, {"revision": 1, "data": {"a": 1}}, {"data": {"a": 2}}) == [
        'data: Invalid value: {"a": 2}: field is immutable'
    ]


def test_it_shows_whose_it_is() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "controller": True}
    cell = next(column.cell for column in KIND.columns if column.name == "Controller")
    assert cell({"metadata": {"ownerReferences": [owner]}}, NOW) == "daemonset.apps/web"
    assert cell({"metadata": {}}, NOW) == "<none>"


def test_a_pod_template_is_filled_in_and_judged(created: Callable[..., Any], complaints: Complaints) -> None:
    template: dict[str, Any] = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    assert created(podtemplate.KIND, {"template": template})["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    template["spec"]["restartPolicy"] = "Sometimes"
    (found,) = complaints(podtemplate.KIND, {"template": template})
    assert found.startswith('template.spec.restartPolicy: Unsupported value: "Sometimes"')
