from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, config, deployment, pod

from motet.api.options import DeleteOptions, PatchType, RequestOptions
from motet.api.registry import Registry
from motet.base.errors import BadRequest, Conflict, Invalid, NotFound
from motet.kinds import configmap, lease
from motet.kinds import deployment as deployments
from motet.kinds import pod as pods
from motet.store.document import Document


async def put(registry: Registry, document: dict[str, Any], **more: Any) -> Document:
    updated, _ = await registry.update(configmap.KIND, "default", document["metadata"]["name"], document, ADMIN, **more)
    return updated


async def patched(registry: Registry, patch: Any, kind: PatchType = PatchType.MERGE, **more: Any) -> Document:
    document, _ = await registry.patch(configmap.KIND, "default", "a", patch, kind, ADMIN, **more)
    return document


@pytest.fixture
async def made(registry: Registry) -> Document:
    return await registry.create(configmap.KIND, "default", config("a", x="1"), ADMIN)


async def test_an_update_replaces(registry: Registry, made: Document) -> None:
    updated = await put(registry, {**made.decode(), "data": {"y": "2"}})
    assert updated.decode()["data"] == {"y": "2"}
    assert updated.revision > made.revision
    assert updated.meta.uid == made.meta.uid


async def test_an_update_that_changes_nothing_keeps_the_revision(registry: Registry, made: Document) -> None:
    assert await put(registry, made.decode()) is made
    assert registry.store.revision == made.revision


async def test_an_update_of_an_old_revision_is_a_conflict(registry: Registry, made: Document) -> None:
    await put(registry, {**made.decode(), "data": {"y": "2"}})
    with pytest.raises(Conflict, match="the object has been modified; please apply your changes to the latest version"):
        await put(registry, {**made.decode(), "data": {"y": "3"}})


async def test_of_concurrent_updates_of_one_revision_one_wins(registry: Registry, made: Document) -> None:
    outcomes = await asyncio.gather(
        *(put(registry, {**made.decode(), "data": {"y": str(number)}}) for number in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 4


async def test_an_update_without_a_revision_wins_always(registry: Registry, made: Document) -> None:
    await asyncio.gather(*(put(registry, config("a", y=str(number))) for number in range(10)))
    assert (await registry.get(configmap.KIND, "default", "a", ADMIN)).decode()["data"]["y"] in map(str, range(10))


async def test_another_uid_is_a_failed_precondition(registry: Registry, made: Document) -> None:
    document = {"metadata": {"name": "a", "uid": "other"}}
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: other"):
        await put(registry, document)


async def test_the_time_of_creation_cannot_be_changed(registry: Registry, made: Document) -> None:
    document = {"metadata": {"name": "a", "creationTimestamp": "2020-01-01T00:00:00Z"}}
    with pytest.raises(Invalid, match=r"metadata.creationTimestamp: Invalid value: .*field is immutable"):
        await put(registry, document)


async def test_the_name_must_be_that_of_the_url(registry: Registry, made: Document) -> None:
    with pytest.raises(BadRequest, match=r"the name of the object \(b\) does not match the name on the URL \(a\)"):
        await registry.update(configmap.KIND, "default", "a", config("b"), ADMIN)


async def test_what_is_not_there_cannot_be_updated(registry: Registry) -> None:
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        await put(registry, config("a"))


async def test_a_lease_is_created_by_its_first_update(registry: Registry) -> None:
    document = {"metadata": {"name": "a"}, "spec": {"holderIdentity": "me"}}
    _, created = await registry.update(lease.KIND, "default", "a", document, ADMIN)
    assert created


async def test_a_merge_patch_merges(registry: Registry, made: Document) -> None:
    document = await patched(registry, {"data": {"y": "2"}})
    assert document.decode()["data"] == {"x": "1", "y": "2"}


async def test_a_json_patch_applies(registry: Registry, made: Document) -> None:
    document = await patched(registry, [{"op": "add", "path": "/data/y", "value": "2"}], PatchType.JSON)
    assert document.decode()["data"] == {"x": "1", "y": "2"}


async def test_a_strategic_patch_merges_lists_by_key(registry: Registry) -> None:
    await registry.create(deployments.KIND, "default", deployment(), ADMIN)
    change = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "b"}]}}}}
    document, _ = await registry.patch(deployments.KIND, "default", "web", change, PatchType.STRATEGIC, ADMIN)
    names = [container["name"] for container in document.decode()["spec"]["template"]["spec"]["containers"]]
    assert sorted(names) == ["main", "side"]


async def test_a_patch_of_nothing_writes_nothing(registry: Registry, made: Document) -> None:
    assert await patched(registry, {"data": {"x": "1"}}) is made


async def test_a_patch_that_names_an_old_revision_is_a_conflict(registry: Registry, made: Document) -> None:
    await patched(registry, {"data": {"y": "2"}})
    with pytest.raises(Conflict):
        await patched(registry, {"metadata": {"resourceVersion": str(made.revision)}, "data": {"y": "3"}})


async def test_concurrent_patches_all_land(registry: Registry, made: Document) -> None:
    await asyncio.gather(*(patched(registry, {"data": {f"k{number}": "v"}}) for number in range(40)))
    data = (await registry.get(configmap.KIND, "default", "a", ADMIN)).decode()["data"]
    assert len(data) == 41


async def test_a_dry_run_of_a_patch_writes_nothing(registry: Registry, made: Document) -> None:
    document = await patched(registry, {"data": {"y": "2"}}, options=RequestOptions(dry_run=True))
    assert document.decode()["data"] == {"x": "1", "y": "2"}
    assert (await registry.get(configmap.KIND, "default", "a", ADMIN)) is made


async def test_the_generation_counts_changes_of_what_is_wanted(registry: Registry) -> None:
    made = await registry.create(deployments.KIND, "default", deployment(), ADMIN)

    async def change(patch: dict[str, Any], subresource: str = "") -> int:
        document, _ = await registry.patch(
            deployments.KIND, "default", "web", patch, PatchType.MERGE, ADMIN, subresource=subresource
        )
        return document.meta.generation

    assert made.meta.generation == 1
    assert await change({"metadata": {"labels": {"a": "b"}}}) == 1
    assert await change({"status": {"replicas": 2}}, "status") == 1
    assert await change({"spec": {"replicas": 3}}) == 2


async def test_status_and_the_rest_are_written_apart(registry: Registry) -> None:
    await registry.create(deployments.KIND, "default", deployment(), ADMIN)
    both = {"spec": {"replicas": 7}, "status": {"replicas": 5}}
    through_status, _ = await registry.patch(
        deployments.KIND, "default", "web", both, PatchType.MERGE, ADMIN, subresource="status"
    )
    document = through_status.decode()
    assert (document["spec"]["replicas"], document["status"]["replicas"]) == (1, 5)
    through_main, _ = await registry.patch(
        deployments.KIND, "default", "web", {"spec": {"replicas": 7}, "status": {"replicas": 6}}, PatchType.MERGE, ADMIN
    )
    document = through_main.decode()
    assert (document["spec"]["replicas"], document["status"]["replicas"]) == (7, 5)


async def test_scale_shows_and_sets_the_replicas(registry: Registry) -> None:
    await registry.create(deployments.KIND, "default", deployment(replicas=2), ADMIN)
    shown = (await registry.get(deployments.KIND, "default", "web", ADMIN, subresource="scale")).decode()
    assert (shown["kind"], shown["apiVersion"], shown["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 2})
    assert shown["status"]["selector"] == "app=web"
    changed, _ = await registry.patch(
        deployments.KIND, "default", "web", {"spec": {"replicas": 4}}, PatchType.MERGE, ADMIN, subresource="scale"
    )
    assert changed.decode()["spec"] == {"replicas": 4}
    assert (await registry.get(deployments.KIND, "default", "web", ADMIN)).decode()["spec"]["replicas"] == 4


async def test_what_cannot_be_scaled_has_no_scale(registry: Registry, made: Document) -> None:
    with pytest.raises(NotFound):
        await registry.get(configmap.KIND, "default", "a", ADMIN, subresource="scale")


async def test_no_finalizer_joins_a_deletion(registry: Registry) -> None:
    held = {"metadata": {"name": "a", "finalizers": ["x.io/one"]}}
    await registry.create(configmap.KIND, "default", held, ADMIN)
    await registry.delete(configmap.KIND, "default", "a", ADMIN, DeleteOptions())
    with pytest.raises(Invalid, match="no new finalizers can be added if the object is being deleted"):
        await patched(registry, {"metadata": {"finalizers": ["x.io/one", "x.io/two"]}})


async def test_a_pods_status_is_its_agents_to_write(registry: Registry) -> None:
    await registry.create(pods.KIND, "default", pod(), ADMIN)
    status = {"status": {"phase": "Running", "podIP": "10.42.0.7"}}
    document, _ = await registry.patch(
        pods.KIND, "default", "web", status, PatchType.MERGE, ADMIN, subresource="status"
    )
    assert document.decode()["status"]["phase"] == "Running"


async def test_an_aspect_changes_its_part_and_counts_as_a_new_generation(registry: Registry) -> None:
    made = (await registry.create(pods.KIND, "default", pod("web"), ADMIN)).decode()
    added = {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}
    patch = {"spec": {**added, "hostname": "x"}, "metadata": {"labels": {"a": "b"}}}
    changed, _ = await registry.patch(
        pods.KIND, "default", "web", patch, PatchType.STRATEGIC, ADMIN, subresource="ephemeralcontainers"
    )
    document = changed.decode()
    assert document["spec"]["ephemeralContainers"][0]["name"] == "debug"
    assert "hostname" not in document["spec"]
    assert document["metadata"].get("labels") == made["metadata"].get("labels")
    assert document["metadata"]["generation"] == made["metadata"]["generation"] + 1
