"""What limit ranges give and refuse."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, admit, pod

from motet.api.admission import BUILT_IN, Chain
from motet.api.limitranges import LIMIT_RANGER
from motet.api.options import PatchType
from motet.api.registry import Registry
from motet.base.errors import Forbidden, Invalid
from motet.kinds import limitrange, persistentvolumeclaim
from motet.kinds import pod as pods


@pytest.fixture
def kernel(registry: Registry) -> Registry:
    admit(registry, Chain((*BUILT_IN, *LIMIT_RANGER)))
    return registry


async def limits(registry: Registry, *given: dict[str, Any]) -> dict[str, Any]:
    body = {"metadata": {"name": "l"}, "spec": {"limits": list(given)}}
    made = await registry.create(limitrange.KIND, "default", body, ADMIN)
    return made.decode()["spec"]["limits"][0]  # type: ignore[no-any-return]


async def made(registry: Registry, name: str = "p", *resources: dict[str, Any]) -> dict[str, Any]:
    containers = [
        {"name": f"c{index}", "image": "i", "resources": each} for index, each in enumerate(resources or ({},))
    ]
    created = await registry.create(pods.KIND, "default", pod(name, containers=containers), ADMIN)
    return created.decode()


async def test_containers_that_say_nothing_get_the_defaults_and_a_note(kernel: Registry) -> None:
    await limits(
        kernel, {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "250m", "memory": "1Gi"}}
    )
    document = await made(kernel)
    assert document["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "250m", "memory": "1Gi"},
        "limits": {"cpu": "1"},
    }
    note = document["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
    assert note == "LimitRanger plugin set: cpu, memory request for container c0; cpu limit for container c0"
    assert document["status"]["qosClass"] == "Burstable"


async def test_what_a_container_says_stays(kernel: Registry) -> None:
    await limits(kernel, {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "250m"}})
    document = await made(kernel, "p", {"requests": {"cpu": "10m"}, "limits": {"cpu": "20m"}})
    assert document["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "10m"}, "limits": {"cpu": "20m"}}


async def test_a_range_counts_for_the_next_pod_of_a_known_template(kernel: Registry) -> None:
    assert "requests" not in (await made(kernel, "a"))["spec"]["containers"][0]["resources"]
    await limits(kernel, {"type": "Container", "default": {"cpu": "1"}})
    assert (await made(kernel, "b"))["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}


async def test_maximum_and_minimum_are_defaults_too(kernel: Registry) -> None:
    found = await limits(kernel, {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m", "memory": "1Mi"}})
    assert found["default"] == {"cpu": "2"}
    assert found["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}


CONTAINER = {"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}, "default": {"cpu": "500m"}}
POD = {"type": "Pod", "max": {"cpu": "1"}}
RATIO = {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}


@pytest.mark.parametrize(
    ("limit", "resources", "words"),
    [
        (CONTAINER, {"requests": {"cpu": "50m"}}, "minimum cpu usage per Container is 100m, but request is 50m"),
        (CONTAINER, {"limits": {"cpu": "2"}}, "maximum cpu usage per Container is 1, but limit is 2"),
        (POD, {"requests": {"cpu": "1"}}, "maximum cpu usage per Pod is 1.  No limit is specified"),
        (POD, {"limits": {"cpu": "1500m"}}, "maximum cpu usage per Pod is 1, but limit is 1500m"),
        (RATIO, {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}, "but provided ratio is 3.000000"),
        (RATIO, {}, "but no request is specified or request is 0"),
    ],
)
async def test_what_is_too_much_or_too_little_is_refused(
    kernel: Registry, limit: dict[str, Any], resources: dict[str, Any], words: str
) -> None:
    await limits(kernel, limit)
    with pytest.raises(Forbidden, match=words):
        await made(kernel, "p", resources)


async def test_a_pods_containers_count_together(kernel: Registry) -> None:
    await limits(kernel, POD)
    each = {"limits": {"cpu": "600m"}}
    await made(kernel, "one", each)
    with pytest.raises(Forbidden, match="maximum cpu usage per Pod is 1, but limit is 1200m"):
        await made(kernel, "two", each, each)


async def test_claims_have_their_own(kernel: Registry) -> None:
    await limits(kernel, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Mi"}})

    async def claim(name: str, size: str) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        await kernel.create(persistentvolumeclaim.KIND, "default", {"metadata": {"name": name}, "spec": spec}, ADMIN)

    await claim("fine", "1Gi")
    with pytest.raises(Forbidden, match="maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"):
        await claim("large", "2Gi")


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}, "min value 2 is greater than max value 1"),
        (
            {"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}},
            "default value 2 is greater than max value 1",
        ),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}, "ratio 500m is less than 1"),
        ({"type": "Pod", "default": {"cpu": "1"}}, "may not be specified when `type` is 'Pod'"),
        ({"type": "PersistentVolumeClaim"}, "either minimum or maximum storage value is required"),
        ({"type": "Robot"}, "must be a standard limit type or fully qualified"),
        ({"type": "Container", "max": {"cpu": "-1"}}, "must be greater than or equal to 0"),
    ],
)
async def test_a_range_that_makes_no_sense_is_refused(registry: Registry, limit: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await limits(registry, limit)


async def test_pods_of_one_template_are_given_and_told_the_same(kernel: Registry) -> None:
    await limits(kernel, {"type": "Container", "default": {"cpu": "1"}})
    first, second = [await made(kernel, name) for name in ("a", "b")]
    assert first["spec"] == second["spec"]
    assert second["metadata"]["annotations"] == first["metadata"]["annotations"]
    assert "cpu limit for container c0" in second["metadata"]["annotations"]["kubernetes.io/limit-ranger"]


async def test_a_template_that_was_let_in_is_refused_when_the_range_has_changed(kernel: Registry) -> None:
    await limits(kernel, {"type": "Container", "max": {"cpu": "2"}})
    asked = {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}
    for name in ("a", "b"):
        await made(kernel, name, asked)
    spec = {"limits": [{"type": "Container", "max": {"cpu": "500m"}}]}
    await kernel.patch(limitrange.KIND, "default", "l", {"spec": spec}, PatchType.MERGE, ADMIN)
    with pytest.raises(Forbidden, match="maximum cpu usage per Container is 500m, but limit is 1"):
        await made(kernel, "c", asked)
