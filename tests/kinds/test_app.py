from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds import app
from motet.kinds.schema import validate

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]
FINE: Json = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}}}


def test_an_app_is_one_replica_updated_one_by_one_unless_it_says_otherwise(created: Create) -> None:
    spec = created(app.KIND, FINE)["spec"]
    assert spec["mode"] == {"replicated": {"replicas": 1}}
    assert spec["update"] == {"parallelism": 1, "delaySeconds": 0, "order": "stop-first"}
    assert spec["template"]["spec"]["restartPolicy"] == "Always"


def test_a_global_app_has_no_replicas(created: Create, change: Create) -> None:
    document = created(app.KIND, change(FINE, {"spec": {"mode": {"global": {}}}}))
    assert document["spec"]["mode"] == {"global": {}}
    assert app.mode(document) == "global"


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_an_app_may_restart_its_containers_or_not(policy: str, complaints: Complaints, change: Create) -> None:
    assert complaints(app.KIND, change(FINE, {"spec": {"template": {"spec": {"restartPolicy": policy}}}})) == []


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        (
            {"mode": {"replicated": {}, "global": {}}},
            "spec.mode.global: Forbidden: may not be specified together with `replicated`",
        ),
        (
            {"mode": {"replicated": {"replicas": -1}}},
            "spec.mode.replicated.replicas: Invalid value: -1: must be greater",
        ),
        ({"update": {"order": "any"}}, 'spec.update.order: Unsupported value: "any": supported values: "start-first"'),
        ({"update": {"parallelism": -1}}, "spec.update.parallelism: Invalid value: -1"),
        (
            {"template": {"metadata": {"labels": {"motet.dev/app": "other"}}}},
            "spec.template.metadata.labels[motet.dev/app]: Invalid value: \"other\": must be 'web', or left out",
        ),
        ({"template": {"spec": {"containers": [{"name": "c"}]}}}, "spec.template.spec.containers[0].image: Required"),
    ],
)
def test_an_app_may_not_have(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    found = complaints(app.KIND, change(FINE, {"spec": changes}))
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_the_mode_does_not_change(update_complaints: Complaints) -> None:
    found = update_complaints(app.KIND, FINE, {"spec": {"mode": {"replicated": None, "global": {}}}})
    assert found == ['spec.mode: Invalid value: {"global": {}}: the mode may not change; it is replicated']


def test_what_is_not_honoured_yet_is_not_in_the_schema() -> None:
    document = {"spec": {"update": {"failureAction": "rollback"}, "template": {}}}
    assert validate.unknown_fields(app.KIND.schema, document) == ["spec.update.failureAction"]


def test_its_columns_tell_what_it_is(created: Create, change: Create) -> None:
    document = created(app.KIND, change(FINE, {"spec": {"mode": {"replicated": {"replicas": 3}}}}))
    document["status"] = {"readyReplicas": 2}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    cells = {column.name: column.cell(document, now) for column in app.KIND.columns}
    assert [cells[name] for name in ("Name", "Mode", "Replicas", "Ready", "Image")] == [
        "web",
        "replicated",
        3,
        2,
        "nginx:1",
    ]


def test_its_pods_are_found_by_its_name(created: Create) -> None:
    assert app.KIND.scale is not None
    assert app.KIND.scale.selector(created(app.KIND, FINE)) == "motet.dev/app=web"
