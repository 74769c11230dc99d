"""Health checks of images: what pods may wish, and what it means."""

from __future__ import annotations

from typing import Any

import pytest

from motet.kinds import imagehealth

SECOND = 1_000_000_000


@pytest.mark.parametrize("text", ["web", "web=", "=ready", "web=always", "web=ready,,"])
def test_what_is_no_wish_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected CONTAINER"):
        imagehealth.parse(text)
    assert imagehealth.of({imagehealth.ANNOTATION: text}) == {}


def test_wishes_are_by_container() -> None:
    assert imagehealth.of({imagehealth.ANNOTATION: "web=ready,db=live"}) == {"web": "ready", "db": "live"}
    assert imagehealth.of(None) == {}


def test_a_check_is_three_probes() -> None:
    check = {
        "Test": ["CMD", "true"],
        "Interval": 5 * SECOND,
        "Timeout": SECOND // 2,
        "Retries": 2,
        "StartPeriod": SECOND,
    }
    made = imagehealth.of_image({"Healthcheck": check}, live=True)
    plain = {"exec": {"command": ["true"]}, "periodSeconds": 5, "timeoutSeconds": 1, "failureThreshold": 2}
    assert made == {
        "startupProbe": {**plain, "periodSeconds": 1, "failureThreshold": 11},
        "readinessProbe": plain,
        "livenessProbe": plain,
    }


def test_a_check_that_only_tells_ends_nothing() -> None:
    made = imagehealth.of_image({"Healthcheck": {"Test": ["CMD-SHELL", "a && b"]}}, live=False)
    assert made["startupProbe"]["failureThreshold"] == imagehealth.FOREVER
    assert made["readinessProbe"]["exec"] == {"command": ["/bin/sh", "-c", "a && b"]}
    assert "livenessProbe" not in made


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"Healthcheck": None},
        {"Healthcheck": {"Test": ["NONE"]}},
        {"Healthcheck": {"Test": []}},
        {"Healthcheck": {"Test": ["RUN", "x"]}},
        {"Healthcheck": {"Test": "true"}},
        {"Healthcheck": {"Test": [1]}},
        {"Healthcheck": "true"},
    ],
)
def test_no_check_and_one_that_nobody_understands_make_no_probes(config: dict[str, Any]) -> None:
    assert imagehealth.of_image(config, live=True) == {}


def test_numbers_that_cannot_be_are_the_defaults() -> None:
    check = {"Test": ["CMD", "true"], "Interval": -1, "Retries": True, "Timeout": "1s", "StartPeriod": 2**70}
    probe = imagehealth.of_image({"Healthcheck": check}, live=True)["readinessProbe"]
    assert (probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"]) == (30, 30, 3)
