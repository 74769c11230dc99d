"""What Docker is told of an App's progress."""

from __future__ import annotations

from typing import Any

import pytest

from motet.controllers.appversion import version_of
from motet.dialects.docker import services

SPEC: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "task", "image": "busybox:1"}]}}}
NOW = version_of(SPEC)


@pytest.mark.parametrize(
    ("status", "iteration"),
    [
        ({}, 1),
        ({"version": NOW, "job": {"iteration": 1}}, 1),
        ({"version": "before", "job": {"iteration": 1}}, 2),
        ({"version": NOW, "job": {"iteration": 4}}, 4),
    ],
)
def test_the_run_of_a_job_is_known_before_it_begins(status: dict[str, Any], iteration: int) -> None:
    assert services.job_iteration(SPEC, status) == iteration


def test_an_update_is_told_of() -> None:
    status = {"update": {"state": "updating", "version": NOW, "startedAt": "2026-01-31T10:20:30Z"}}
    assert services.update_status(SPEC, status) == {
        "State": "updating",
        "Message": "update in progress",
        "StartedAt": "2026-01-31T10:20:30Z",
    }


def test_the_end_of_an_earlier_update_is_not_the_present_ones() -> None:
    assert services.update_status(SPEC, {"update": {"state": "completed", "version": "before"}}) is None
