"""Labels below `deploy` that ask for what the Compose Specification has no words for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.compose.test_read import problems
from tests.cli.compose.test_translate import made

from motet.cli.apply.objects import overlay

RESERVED = "resources: {reservations: {cpus: 0.5}}"


def app(tmp_path: Path, deploy: str, more: str = "") -> dict[str, Any]:
    text = f"services:\n  web:\n    image: x\n    deploy: {{{deploy}}}\n{more}  my_db: {{image: d}}\n  cache: {{image: c}}\n"
    found: dict[str, Any] = made(tmp_path, text)["App", "web"]
    return found


def test_they_become_parts_of_the_app(tmp_path: Path) -> None:
    labels = '{motet.dev/schedule: "@daily", motet.dev/depends-on: "my_db:healthy", a: b}'
    found = app(tmp_path, f"mode: replicated-job, labels: {labels}", "    depends_on: [cache]\n")
    assert found["spec"]["schedule"] == {"cron": "@daily"}
    assert found["spec"]["dependsOn"] == [
        {"name": "cache", "condition": "started"},
        {"name": "my-db", "condition": "healthy"},
    ]
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert annotations["a"] == "b"
    assert not any(key in annotations for key in ("motet.dev/schedule", "motet.dev/depends-on"))


def test_devices_are_those_of_the_container(tmp_path: Path) -> None:
    found = app(tmp_path, "labels: {motet.dev/devices: '/dev/null:/dev/mine'}")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert [each["devicePath"] for each in container["volumeDevices"]] == ["/dev/mine"]


def test_an_autoscaled_service_keeps_its_size_unless_the_file_says_one(tmp_path: Path) -> None:
    wanted = app(tmp_path, f"{RESERVED}, labels: {{motet.dev/autoscale.max: 5}}")
    assert (wanted["spec"]["mode"], wanted["spec"]["autoscale"]) == ({"replicated": {}}, {"maxReplicas": 5})
    live = {**wanted, "spec": {**wanted["spec"], "mode": {"replicated": {"replicas": 4}}}}
    assert overlay(live, wanted)["spec"]["mode"] == {"replicated": {"replicas": 4}}
    assert wanted["spec"]["mode"] == {"replicated": {}}
    sized = app(tmp_path, f"{RESERVED}, replicas: 2, labels: {{motet.dev/autoscale.max: 5}}")
    assert overlay(live, sized)["spec"]["mode"] == {"replicated": {"replicas": 2}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("deploy: {labels: {motet.dev/shedule: x}}", "label motet.dev/shedule: there is no such label"),
        ("deploy: {labels: {motet.dev/schedule: '@daily'}}", "label motet.dev/schedule: only jobs run by the clock"),
        ("deploy: {labels: {motet.dev/autoscale.max: 3}}", "label motet.dev/autoscale.max: CPU must be reserved"),
        (
            "labels: {motet.dev/schedule: '@daily'}",
            "label motet.dev/schedule: is one of the service, not of its containers",
        ),
    ],
)
def test_what_cannot_be_is_named_with_its_place(tmp_path: Path, body: str, words: str) -> None:
    (found,) = problems(tmp_path, f"services:\n  web:\n    image: x\n    {body}\n")
    assert found.startswith("compose.yaml:")
    assert words in found
