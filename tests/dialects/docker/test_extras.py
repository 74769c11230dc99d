"""Labels of services that ask for what Swarm never had."""

from __future__ import annotations

from typing import Any

import pytest
from tests.dialects.docker.test_servicespec import app_of, spec, stored, task

from motet.dialects.docker import services, servicespec
from motet.dialects.docker.errors import DockerError
from motet.kinds import applabels

Json = dict[str, Any]
RESERVED = {"Resources": {"Reservations": {"NanoCPUs": 100_000_000}}}
JOB = {"Mode": {"ReplicatedJob": {"TotalCompletions": 1}}}


def labelled(labels: dict[str, str], **others: Any) -> Json:
    body = task(**others.pop("task", {}))
    return {**body, "Labels": {f"motet.dev/{key}": value for key, value in labels.items()}, **others}


def test_a_job_runs_by_the_clock() -> None:
    labels = {"schedule": "*/5 * * * *", "schedule.timezone": "Europe/Berlin", "schedule.deadline": "30s"}
    made = app_of(labelled(labels, **JOB))
    assert made["spec"]["schedule"] == {
        "cron": "*/5 * * * *",
        "timeZone": "Europe/Berlin",
        "startingDeadlineSeconds": 30,
    }


def test_a_service_grows_and_shrinks() -> None:
    made = app_of(labelled({"autoscale.max": "9", "autoscale.cpu": "70%"}, task=RESERVED))
    assert made["spec"]["autoscale"] == {"maxReplicas": 9, "cpuPercent": 70}


@pytest.mark.parametrize(
    ("stack", "said", "names"),
    [
        ("", "db:healthy, cache", [("db", "healthy"), ("cache", "started")]),
        ("shop", "db:service_healthy job:completed", [("shop-db", "healthy"), ("shop-job", "completed")]),
        ("my_shop", "my_shop_db", [("my-shop-db", "started")]),
    ],
)
def test_a_service_waits_for_others_of_its_stack(stack: str, said: str, names: list[tuple[str, str]]) -> None:
    body = labelled({"depends-on": said})
    if stack:
        body["Labels"]["com.docker.stack.namespace"] = stack
    app = app_of(body)
    assert [(each["name"], each["condition"]) for each in app["spec"]["dependsOn"]] == names
    assert servicespec.service_spec(stored(app))["Labels"] == body["Labels"]


def test_devices_are_the_containers() -> None:
    pod = app_of(labelled({"devices": "/dev/fuse,/dev/dri/card0:/dev/card0"}))["spec"]["template"]["spec"]
    assert [each["hostPath"] for each in pod["volumes"]] == [
        {"path": "/dev/fuse", "type": "CharDevice"},
        {"path": "/dev/dri/card0", "type": "CharDevice"},
    ]
    assert [each["devicePath"] for each in pod["containers"][0]["volumeDevices"]] == ["/dev/fuse", "/dev/card0"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            labelled({"shedule": "@daily"}),
            "label motet.dev/shedule: there is no such label; those that Motet knows are",
        ),
        (labelled({"schedule": "@daily"}), "label motet.dev/schedule: only jobs run by the clock"),
        (labelled({"schedule": "daily"}, **JOB), "label motet.dev/schedule: 'daily': expected exactly 5 fields"),
        (labelled({"schedule.timezone": "UTC"}, **JOB), "label motet.dev/schedule: missing"),
        (
            labelled({"schedule": "@daily", "schedule.timezone": "Nowhere"}, **JOB),
            "label motet.dev/schedule.timezone: 'Nowhere': unknown time zone",
        ),
        (
            labelled({"schedule": "@daily", "schedule.overlap": "x"}, **JOB),
            "label motet.dev/schedule.overlap: 'x' is none of",
        ),
        (labelled({"autoscale.max": "3"}), "label motet.dev/autoscale.max: CPU must be reserved"),
        (labelled({"autoscale.min": "3"}, task=RESERVED), "label motet.dev/autoscale.max: missing"),
        (
            labelled({"autoscale.max": "many"}, task=RESERVED),
            "label motet.dev/autoscale.max: 'many': expected a number",
        ),
        (
            labelled({"autoscale.max": "2", "autoscale.min": "3"}, task=RESERVED),
            "label motet.dev/autoscale.max: 2 is less",
        ),
        (labelled({"autoscale.max": "3"}, Mode={"Global": {}}), "only replicated services grow and shrink"),
        (labelled({"depends-on": "db:up"}), "label motet.dev/depends-on: 'db:up': 'up' is none of started, healthy"),
        (labelled({"devices": "/etc/passwd"}), "label motet.dev/devices: '/etc/passwd': expected /dev/NAME"),
        (labelled({"devices": "/dev/a:/dev/b:r"}), "permissions other than rwm"),
        (
            spec(Labels={"motet.dev/schedule": "@daily"}),
            "label motet.dev/schedule: is one of the service, .* deploy.labels",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_the_labels_name(body: Json, words: str) -> None:
    with pytest.raises(DockerError, match=words) as caught:
        app_of(body)
    assert caught.value.code == 400


def test_labels_are_shown_as_they_were_or_as_the_app_has_it_now() -> None:
    body = labelled({"schedule": "@daily", "depends-on": "db"}, **JOB)
    body["Labels"]["mine"] = "x"
    app = app_of(body)
    assert servicespec.service_spec(stored(app))["Labels"] == body["Labels"]
    app["spec"]["schedule"] = {"cron": "@hourly", "timeZone": "UTC"}
    assert servicespec.service_spec(stored(app))["Labels"] == {
        "mine": "x",
        "motet.dev/schedule": "@hourly",
        "motet.dev/schedule.timezone": "UTC",
        "motet.dev/schedule.overlap": "skip",
        "motet.dev/depends-on": "db:started",
    }


def test_every_word_that_is_shown_can_be_read() -> None:
    wanted = {
        "schedule": {"cron": "@daily", "timeZone": "UTC", "overlap": "replace", "startingDeadlineSeconds": 5},
        "dependsOn": [{"name": "db", "condition": "completed"}],
        "autoscale": {"minReplicas": 2, "maxReplicas": 4, "cpuPercent": 50},
    }
    labels = applabels.shown({}, wanted)
    assert applabels.parts(labels, job=True, replicated=True, reserves_cpu=True) == wanted


def test_an_update_without_a_number_keeps_what_the_autoscaler_has_set() -> None:
    body = labelled({"autoscale.max": "9"}, task=RESERVED)
    current = app_of(body)
    current["spec"]["mode"] = {"replicated": {"replicas": 6}}
    changed = services.changed_app(stored(current), app_of(body), back=False)
    assert changed["spec"]["mode"] == {"replicated": {"replicas": 6}}
    body["Mode"] = {"Replicated": {"Replicas": 3}}
    assert (
        services.changed_app(stored(current), app_of(body), back=False)["spec"]["mode"]["replicated"]["replicas"] == 3
    )
