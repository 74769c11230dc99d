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
    assert spec["update"] == {
        "parallelism": 1,
        "delaySeconds": 0,
        "order": "stop-first",
        "monitorSeconds": 5,
        "failureAction": "pause",
        "maxFailureRatio": 0,
        "minimumHealthyPercent": 0,
    }
    assert "restart" not in spec
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
        (
            {"update": {"maxFailureRatio": 1.5}},
            "spec.update.maxFailureRatio: Invalid value: 1.5: must be between 0 and 1",
        ),
        ({"update": {"delaySeconds": -0.5}}, "spec.update.delaySeconds: Invalid value: -0.5: must be greater"),
        ({"rollback": {"failureAction": "rollback"}}, 'spec.rollback.failureAction: Unsupported value: "rollback"'),
        (
            {"update": {"minimumHealthyPercent": 100, "maximumPercent": 100}},
            "spec.update.minimumHealthyPercent: Invalid value: 100: with this neither may a pod go",
        ),
        ({"update": {"maximumPercent": 50}}, "spec.update.maximumPercent: Invalid value: 50: must be between 100"),
        ({"restart": {"condition": "sometimes"}}, 'spec.restart.condition: Unsupported value: "sometimes"'),
        (
            {"restart": {}, "template": {"spec": {"restartPolicy": "Always"}}},
            'spec.template.spec.restartPolicy: Invalid value: "Always": must be Never where there is a spec.restart',
        ),
        (
            {"placement": {"constraints": ["node.zone==a"]}},
            'spec.placement.constraints[0]: Invalid value: "node.zone==a": node.zone is not something',
        ),
        (
            {"placement": {"constraints": ["a=b"]}},
            'spec.placement.constraints[0]: Invalid value: "a=b": must be written',
        ),
        ({"placement": {"preferences": [{}]}}, "spec.placement.preferences[0].spread: Required value"),
        (
            {"mode": {"global": {}}, "placement": {"maxReplicasPerNode": 2}},
            "spec.placement.maxReplicasPerNode: Forbidden: there is one pod on a node in any case",
        ),
        ({"hostnameTemplate": "{{.Task.Slot}}"}, "spec.hostnameTemplate: Forbidden: needs expandTemplates"),
        (
            {"hostnameTemplate": "{{.Task.Slott}}", "expandTemplates": True},
            'spec.hostnameTemplate: Invalid value: "{{.Task.Slott}}": {{.Task.Slott}} is not known',
        ),
        ({"template": {"spec": {"containers": [{"name": "c"}]}}}, "spec.template.spec.containers[0].image: Required"),
    ],
)
def test_an_app_may_not_have(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    found = complaints(app.KIND, change(FINE, {"spec": changes}))
    assert len(found) == 1, found
    assert found[0].startswith(start)


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"update": {}}, "spec.update: Forbidden: a job is not updated bit by bit"),
        ({"restart": {"condition": "any"}}, 'spec.restart.condition: Invalid value: "any": a job that has ended well'),
        ({"mode": {"replicatedJob": {"maxConcurrent": 0}}}, "spec.mode.replicatedJob.maxConcurrent: Invalid value: 0"),
    ],
)
def test_a_job_may_not_have(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    job = change(FINE, {"spec": {"mode": {"replicatedJob": {"totalCompletions": 3}}}})
    found = complaints(app.KIND, change(job, {"spec": changes}))
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_a_job_runs_its_tasks_to_their_end_and_keeps_them(created: Create, change: Create) -> None:
    spec = created(app.KIND, change(FINE, {"spec": {"mode": {"replicatedJob": {"totalCompletions": 3}}}}))["spec"]
    assert spec["mode"] == {"replicatedJob": {"totalCompletions": 3, "maxConcurrent": 3}}
    assert spec["restart"] == {"condition": "on-failure", "delaySeconds": 5, "maxAttempts": 0, "windowSeconds": 0}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["taskHistoryLimit"] == 5
    assert "update" not in spec


def test_volumes_of_a_pod_without_a_node_cannot_depend_on_it(complaints: Complaints, change: Create) -> None:
    volume = {"name": "v", "hostPath": {"path": "/data/{{.Node.Hostname}}"}}
    changes = {"expandTemplates": True, "template": {"spec": {"volumes": [volume]}}}
    (found,) = complaints(app.KIND, change(FINE, {"spec": changes}))
    assert found.startswith("spec.template.spec.volumes[0].hostPath.path: Invalid value")
    everywhere = {"mode": {"replicated": None, "global": {}}, **changes}
    assert complaints(app.KIND, change(FINE, {"spec": everywhere})) == []


def test_the_mode_does_not_change(update_complaints: Complaints) -> None:
    found = update_complaints(app.KIND, FINE, {"spec": {"mode": {"replicated": None, "global": {}}}})
    assert found == ['spec.mode: Invalid value: {"global": {}}: the mode may not change; it is replicated']


def test_what_is_not_honoured_yet_is_not_in_the_schema() -> None:
    document = {"spec": {"update": {"onTuesdays": True}, "template": {}}}
    assert validate.unknown_fields(app.KIND.schema, document) == ["spec.update.onTuesdays"]


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
