"""Pods that name a runtime class get what it asks for, and are refused where they contradict it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, admit, kernel, pod

from motet.api.admission import BUILT_IN, Chain
from motet.api.registry import Registry
from motet.api.runtimeclasses import RUNTIME_CLASS
from motet.base.errors import Forbidden
from motet.kinds import pod as pods
from motet.kinds import runtimeclass


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with kernel(tmp_path) as running:
        admit(running, Chain((*BUILT_IN, *RUNTIME_CLASS)))
        scheduling = {
            "nodeSelector": {"sandboxed": "yes"},
            "tolerations": [{"key": "sandboxed", "operator": "Exists", "effect": "NoSchedule"}],
        }
        document = {
            "metadata": {"name": "tight"},
            "handler": "tight",
            "overhead": {"podFixed": {"cpu": "10m"}},
            "scheduling": scheduling,
        }
        await running.create(runtimeclass.KIND, "", document, ADMIN)
        yield running


async def made(registry: Registry, **spec: Any) -> dict[str, Any]:
    return (await registry.create(pods.KIND, "default", pod(**spec), ADMIN)).decode()["spec"]  # type: ignore[no-any-return]


async def test_a_pod_gets_the_overhead_and_the_place_of_its_class(registry: Registry) -> None:
    spec = await made(registry, runtimeClassName="tight", nodeSelector={"disk": "fast"})
    assert spec["overhead"] == {"cpu": "10m"}
    assert spec["nodeSelector"] == {"disk": "fast", "sandboxed": "yes"}
    assert "sandboxed" in [toleration["key"] for toleration in spec["tolerations"]]


async def test_a_pod_without_a_class_gets_nothing(registry: Registry) -> None:
    assert "overhead" not in await made(registry)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"runtimeClassName": "other"}, 'RuntimeClass "other" not found'),
        ({"overhead": {"cpu": "1"}}, "Overhead set without corresponding RuntimeClass"),
        ({"runtimeClassName": "tight", "overhead": {"cpu": "1"}}, "Overhead doesn't match"),
        ({"runtimeClassName": "tight", "nodeSelector": {"sandboxed": "no"}}, "conflict: runtimeClass.scheduling"),
    ],
)
async def test_a_pod_that_contradicts_its_class_is_refused(registry: Registry, spec: Any, words: str) -> None:
    with pytest.raises(Forbidden, match=words):
        await made(registry, **spec)
