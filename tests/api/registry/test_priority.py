"""The priority of pods."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, admit, pod

from motet.api import priority
from motet.api.admission import BUILT_IN, Chain
from motet.api.priority import PRIORITY
from motet.api.registry import Registry
from motet.base.errors import Forbidden, Invalid
from motet.kinds import pod as pods
from motet.kinds import priorityclass


@pytest.fixture
async def kernel(registry: Registry) -> Registry:
    admit(registry, Chain((*BUILT_IN, *PRIORITY)))
    await priority.ensure(registry)
    return registry


async def offer(registry: Registry, name: str, value: int, **more: Any) -> None:
    await registry.create(priorityclass.KIND, "", {"metadata": {"name": name}, "value": value, **more}, ADMIN)


async def made(registry: Registry, name: str = "p", **spec: Any) -> tuple[Any, Any, Any]:
    created = await registry.create(pods.KIND, "default", pod(name, **spec), ADMIN)
    found = created.decode()["spec"]
    return found.get("priorityClassName"), found["priority"], found["preemptionPolicy"]


async def test_a_pod_without_a_class_has_none_and_zero(kernel: Registry) -> None:
    assert await made(kernel) == (None, 0, "PreemptLowerPriority")


async def test_a_pod_has_the_numbers_of_its_class(kernel: Registry) -> None:
    await offer(kernel, "polite", 7, preemptionPolicy="Never")
    for name in ("a", "b"):
        assert await made(kernel, name, priorityClassName="polite") == ("polite", 7, "Never")
    assert (await made(kernel, "c", priorityClassName="system-node-critical"))[1] == 2_000_001_000


async def test_pods_of_one_template_follow_the_default_class_as_it_comes_and_goes(kernel: Registry) -> None:
    assert (await made(kernel, "a"))[1] == 0
    await offer(kernel, "usual", 5, globalDefault=True)
    assert (await made(kernel, "b"))[:2] == ("usual", 5)
    await kernel.delete(priorityclass.KIND, "", "usual", ADMIN)
    assert (await made(kernel, "c"))[:2] == (None, 0)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"priorityClassName": "none"}, "no PriorityClass with name none was found"),
        ({"priority": 3}, "the integer value of priority \\(3\\) must not be provided in pod spec"),
        ({"preemptionPolicy": "Never"}, "the string value of PreemptionPolicy \\(Never\\) must not be provided"),
    ],
)
async def test_what_is_not_the_classs_is_refused(kernel: Registry, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(Forbidden, match=words):
        await made(kernel, **spec)


async def test_there_is_one_default_at_most(kernel: Registry) -> None:
    await offer(kernel, "one", 1, globalDefault=True)
    with pytest.raises(Forbidden, match="PriorityClass one is already marked as default"):
        await offer(kernel, "two", 2, globalDefault=True)


@pytest.mark.parametrize(("name", "value"), [("system-mine", 1), ("high", 1_000_000_001), ("system-node-critical", 5)])
async def test_the_highest_numbers_and_names_are_the_clusters(registry: Registry, name: str, value: int) -> None:
    with pytest.raises(Invalid):
        await offer(registry, name, value)


async def test_the_number_of_a_class_stays(kernel: Registry) -> None:
    await offer(kernel, "one", 1)
    document = kernel.table(priorityclass.KIND).get("one")
    assert document is not None
    with pytest.raises(Invalid, match="may not be changed in an update"):
        await kernel.update(priorityclass.KIND, "", "one", {**document.decode(), "value": 2}, ADMIN)
