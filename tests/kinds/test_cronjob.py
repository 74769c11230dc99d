from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds import cronjob

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

KIND = cronjob.KIND
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POD = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
FINE: Json = {"spec": {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": {"spec": POD}}}}}


def test_a_cron_job_is_filled_in_and_the_job_in_it_is_not(created: Create) -> None:
    spec = created(KIND, FINE)["spec"]
    assert (spec["concurrencyPolicy"], spec["suspend"]) == ("Allow", False)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 1)
    assert spec["jobTemplate"]["spec"].keys() == {"template"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "0 * *"}, 'spec.schedule: Invalid value: "0 * *": expected exactly 5 fields, found 3: [0 * *]'),
        (
            {"schedule": "TZ=UTC 0 * * * *"},
            'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": '
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ),
        ({"timeZone": ""}, 'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'),
        ({"timeZone": "Mars/Base"}, 'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'),
        (
            {"timeZone": "local"},
            'spec.timeZone: Invalid value: "local": '
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ),
        (
            {"concurrencyPolicy": "Sometimes"},
            'spec.concurrencyPolicy: Unsupported value: "Sometimes": supported values: "Allow", "Forbid", "Replace"',
        ),
        (
            {"startingDeadlineSeconds": -1},
            "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"jobTemplate": {"spec": {"selector": {}}}},
            "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
        ),
        (
            {"jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Always"}}}}},
            'spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ),
    ],
)
def test_a_cron_job_may_not_have(changes: Json, expected: str, complaints: Complaints, change: Create) -> None:
    assert complaints(KIND, change(FINE, {"spec": changes})) == [expected]


def test_its_name_leaves_room_for_the_time(complaints: Complaints, change: Create) -> None:
    assert complaints(KIND, change(FINE, {"metadata": {"name": "a" * 52}})) == []
    (found,) = complaints(KIND, change(FINE, {"metadata": {"name": "a" * 53}}))
    assert found.endswith("must be no more than 52 characters")


def test_kubectl_shows_when(created: Create) -> None:
    document = created(KIND, FINE)
    document["status"] = {"lastScheduleTime": "2026-01-01T11:00:00Z", "active": [{"name": "x"}]}
    shown = {column.name: column.cell(document, NOW) for column in KIND.columns}
    assert shown["Schedule"] == "0 * * * *"
    assert (shown["Timezone"], shown["Suspend"], shown["Active"], shown["Last Schedule"]) == (
        "<none>",
        "False",
        1,
        "60m",
    )
