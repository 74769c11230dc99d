"""When an App's tasks may begin, and how many there are by themselves: what is filled in, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import app

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]
FINE: Json = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}}}
JOB: Json = {"replicatedJob": {"totalCompletions": 1}}


def test_defaults(created: Create, change: Create) -> None:
    spec = created(app.KIND, change(FINE, {"spec": {"mode": JOB, "schedule": {"cron": "@daily"}}}))["spec"]
    assert spec["schedule"] == {"cron": "@daily", "overlap": "skip"}
    spec = created(app.KIND, change(FINE, {"spec": {"dependsOn": [{"name": "db"}]}}))["spec"]
    assert spec["dependsOn"] == [{"name": "db", "condition": "started"}]
    spec = created(app.KIND, change(FINE, {"spec": {"autoscale": {"maxReplicas": 3}}}))["spec"]
    assert spec["autoscale"] == {"minReplicas": 1, "maxReplicas": 3, "cpuPercent": 80}


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"schedule": {"cron": "@daily"}}, "spec.schedule: Forbidden: only jobs run by the clock"),
        ({"mode": JOB, "schedule": {}}, "spec.schedule.cron: Required value"),
        (
            {"mode": JOB, "schedule": {"cron": "* * *"}},
            'spec.schedule.cron: Invalid value: "* * *": expected exactly 5',
        ),
        (
            {"mode": JOB, "schedule": {"cron": "@daily", "timeZone": "Mars/Base"}},
            'spec.schedule.timeZone: Invalid value: "Mars/Base": unknown time zone',
        ),
        (
            {"mode": JOB, "schedule": {"cron": "@daily", "overlap": "both"}},
            'spec.schedule.overlap: Unsupported value: "both"',
        ),
        ({"dependsOn": [{"name": "x"}]}, 'spec.dependsOn[0].name: Invalid value: "x": an App cannot wait for itself'),
        ({"dependsOn": [{"name": "a"}, {"name": "a"}]}, 'spec.dependsOn[1].name: Duplicate value: "a"'),
        (
            {"dependsOn": [{"name": "a", "condition": "done"}]},
            'spec.dependsOn[0].condition: Unsupported value: "done"',
        ),
        (
            {"mode": {"global": {}}, "autoscale": {"maxReplicas": 2}},
            "spec.autoscale: Forbidden: only Apps with replicas",
        ),
        ({"autoscale": {}}, "spec.autoscale.maxReplicas: Required value"),
        ({"autoscale": {"minReplicas": 3, "maxReplicas": 2}}, "spec.autoscale.maxReplicas: Invalid value: 2"),
        (
            {"autoscale": {"maxReplicas": 2}},
            "spec.template.spec.containers[0].resources.requests.cpu: Required value: spec.autoscale compares",
        ),
    ],
)
def test_what_cannot_be_is_refused(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    body = change(FINE, {"metadata": {"name": "x"}, "spec": changes})
    assert any(each.startswith(start) for each in complaints(app.KIND, body)), complaints(app.KIND, body)
