"""The shorter ways end where the long ones do."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, pod

from motet.api import shortcuts
from motet.api.options import PatchType, RequestOptions
from motet.api.registry import Registry
from motet.base.errors import BadRequest, Conflict, Invalid
from motet.kinds import pod as pods

RUNNING = {"phase": "Running", "podIP": "10.42.0.7", "conditions": [{"type": "Ready", "status": "True"}]}


def rest(document: dict[str, Any]) -> dict[str, Any]:
    return {part: value for part, value in document.items() if part != "metadata"}


async def test_pods_of_one_template_come_out_alike(registry: Registry) -> None:
    resources = {"limits": {"memory": "16Mi"}}
    containers = [{"name": "main", "image": "nginx:1", "resources": resources}]
    first, second = [
        (await registry.create(pods.KIND, "default", pod(name, containers=containers), ADMIN)).decode()
        for name in ("a", "b")
    ]
    assert rest(first) == rest(second)
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert second["metadata"]["name"] == "b"


async def test_bad_metadata_is_found_on_a_known_template_too(registry: Registry) -> None:
    await registry.create(pods.KIND, "default", pod("a"), ADMIN)
    with pytest.raises(Invalid, match=r"metadata\.name"):
        await registry.create(pods.KIND, "default", pod("No Good"), ADMIN)
    with pytest.raises(BadRequest):
        await registry.create(pods.KIND, "default", {**pod("b"), "metadata": {"name": "b", "labels": "x"}}, ADMIN)


@pytest.mark.parametrize("annotations", ["x", ["a", "b"], {"a": 1}, 3])
async def test_annotations_of_a_wrong_form_are_refused_new_template_or_known(
    registry: Registry, annotations: Any
) -> None:
    for _ in range(2):
        bad = {**pod("b"), "metadata": {"name": "b", "annotations": annotations}}
        with pytest.raises(BadRequest):
            await registry.create(pods.KIND, "default", bad, ADMIN)
        await registry.create(pods.KIND, "default", {**pod(), "metadata": {"generateName": "a"}}, ADMIN)


async def test_unknown_fields_are_told_of_each_time(registry: Registry) -> None:
    for name in ("a", "b"):
        warned = RequestOptions(field_validation="Warn")
        await registry.create(pods.KIND, "default", pod(name, colour="red"), ADMIN, warned)
        assert warned.warnings == ['unknown field "spec.colour"']
    strict = RequestOptions(field_validation="Strict")
    with pytest.raises(BadRequest, match="strict decoding error"):
        await registry.create(pods.KIND, "default", pod("c", colour="red"), ADMIN, strict)


@pytest.mark.parametrize("short", [True, False])
async def test_status_can_be_patched_and_put(registry: Registry, monkeypatch: pytest.MonkeyPatch, short: bool) -> None:
    if not short:
        monkeypatch.setattr(shortcuts, "status_gate", lambda kind: None)
    await registry.create(pods.KIND, "default", pod(), ADMIN)
    patched, _ = await registry.patch(
        pods.KIND, "default", "web", {"status": RUNNING}, PatchType.MERGE, ADMIN, subresource="status"
    )
    document = patched.decode()
    assert document["status"] == {**RUNNING, "qosClass": "BestEffort"}
    document["status"]["podIP"] = "10.42.0.8"
    document["spec"]["nodeName"] = "ignored"
    document["metadata"]["labels"] = {"comes": "along"}
    updated, _ = await registry.update(pods.KIND, "default", "web", document, ADMIN, subresource="status")
    assert updated.decode()["status"]["podIP"] == "10.42.0.8"
    assert "nodeName" not in updated.decode()["spec"]
    assert updated.meta.labels == {"comes": "along"}
    stale = {**document, "status": {"phase": "Failed"}}
    with pytest.raises(Conflict):
        await registry.update(pods.KIND, "default", "web", stale, ADMIN, subresource="status")
    again, _ = await registry.update(pods.KIND, "default", "web", updated.decode(), ADMIN, subresource="status")
    assert again is updated


async def test_a_status_of_the_wrong_shape_is_refused(registry: Registry) -> None:
    await registry.create(pods.KIND, "default", pod(), ADMIN)
    with pytest.raises(BadRequest, match="cannot be handled as a Pod"):
        await registry.patch(
            pods.KIND, "default", "web", {"status": {"phase": 7}}, PatchType.MERGE, ADMIN, subresource="status"
        )
