from __future__ import annotations

from typing import Any

import pytest

from motet.kinds.podspec.resources import quality_of_service


def resources(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> dict[str, Any]:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("containers", "quality"),
    [
        ([{}], "BestEffort"),
        ([resources({"cpu": "0"})], "BestEffort"),
        ([resources({"ephemeral-storage": "1Gi"})], "BestEffort"),
        ([resources({"cpu": "1"})], "Burstable"),
        ([resources(limits={"memory": "1Gi"})], "Burstable"),
        ([resources(BOTH, BOTH)], "Guaranteed"),
        ([resources({"cpu": "1000m", "memory": "1024Mi"}, BOTH)], "Guaranteed"),
        ([resources(limits=BOTH)], "Guaranteed"),
        ([resources({"cpu": "500m"}, BOTH)], "Burstable"),
        ([resources(BOTH, BOTH), {}], "Burstable"),
    ],
)
def test_the_quality_of_service_follows_requests_and_limits(containers: list[Any], quality: str) -> None:
    assert quality_of_service({"containers": containers}) == quality


def test_init_containers_count_too() -> None:
    assert quality_of_service({"containers": [{}], "initContainers": [resources({"cpu": "1"})]}) == "Burstable"


def test_resources_of_the_whole_pod_decide_alone() -> None:
    assert quality_of_service({"containers": [{}], **resources(BOTH, BOTH)}) == "Guaranteed"
