from __future__ import annotations

from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, config, deployment, pod

from motet.api.options import DeleteOptions, ListOptions, PatchType
from motet.api.registry import Registry
from motet.api.removing import Deleted
from motet.base import selectors
from motet.base.clock import FakeClock
from motet.base.errors import BadRequest, Conflict, Forbidden, NotFound
from motet.kinds import configmap, namespace
from motet.kinds import deployment as deployments
from motet.kinds import pod as pods
from motet.kinds.kind import Kind
from motet.store.document import Document


async def deleted(registry: Registry, kind: Kind = configmap.KIND, name: str = "a", **options: Any) -> Deleted:
    return await registry.delete(kind, "default", name, ADMIN, DeleteOptions(**options))


async def there(registry: Registry, kind: Kind = configmap.KIND, name: str = "a") -> Document | None:
    return registry.table(kind).get(name, "default")


async def scheduled_pod(registry: Registry, **spec: Any) -> Document:
    await registry.create(pods.KIND, "default", pod("a", **spec), ADMIN)
    assert await registry.bind([("default", "a", "", "n1")]) == [None]
    return await registry.get(pods.KIND, "default", "a", ADMIN)


async def test_what_nothing_holds_goes_at_once(registry: Registry) -> None:
    made = await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    answer = await deleted(registry)
    assert answer.gone
    assert answer.status is not None
    assert answer.status["details"] == {"name": "a", "kind": "configmaps", "uid": made.meta.uid}
    assert await there(registry) is None


async def test_what_is_not_there_cannot_be_deleted(registry: Registry) -> None:
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        await deleted(registry)


@pytest.mark.parametrize("options", [{"uid": "other"}, {"resource_version": "999"}])
async def test_a_precondition_that_does_not_hold_stops_a_delete(registry: Registry, options: dict[str, str]) -> None:
    await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    with pytest.raises(Conflict, match="Precondition failed"):
        await deleted(registry, **options)
    assert await there(registry) is not None


async def test_finalizers_hold_an_object_until_the_last_is_removed(registry: Registry) -> None:
    held = {"metadata": {"name": "a", "finalizers": ["x.io/one", "x.io/two"]}}
    await registry.create(configmap.KIND, "default", held, ADMIN)
    answer = await deleted(registry)
    assert not answer.gone
    assert answer.document is not None
    assert answer.document.meta.deletion_timestamp == "2026-01-01T00:00:00Z"
    assert answer.document.meta.deletion_grace_period_seconds == 0

    async def release(*left: str) -> None:
        patch = {"metadata": {"finalizers": list(left)}}
        await registry.patch(configmap.KIND, "default", "a", patch, PatchType.MERGE, ADMIN)

    await release("x.io/two")
    assert await there(registry) is not None
    await release()
    assert await there(registry) is None


async def test_a_second_delete_of_what_is_held_changes_nothing(registry: Registry) -> None:
    held = {"metadata": {"name": "a", "finalizers": ["x.io/one"]}}
    await registry.create(configmap.KIND, "default", held, ADMIN)
    first = await deleted(registry)
    assert (await deleted(registry)).document is first.document


@pytest.mark.parametrize(("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_propagation_is_written_down_for_the_collector(
    registry: Registry, propagation: str, finalizer: str
) -> None:
    await registry.create(deployments.KIND, "default", deployment("a"), ADMIN)
    answer = await deleted(registry, deployments.KIND, propagation=propagation)
    assert not answer.gone
    assert answer.document is not None
    assert answer.document.meta.finalizers == (finalizer,)


async def test_an_unknown_propagation_is_refused(registry: Registry) -> None:
    await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    with pytest.raises(BadRequest, match="propagationPolicy"):
        await deleted(registry, propagation="Sideways")


async def test_a_dry_run_deletes_nothing(registry: Registry) -> None:
    await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    assert (await deleted(registry, dry_run=True)).gone
    assert await there(registry) is not None


async def test_a_scheduled_pod_is_given_time_to_end(registry: Registry, clock: FakeClock) -> None:
    await scheduled_pod(registry, terminationGracePeriodSeconds=20)
    answer = await deleted(registry, pods.KIND)
    assert not answer.gone
    assert answer.document is not None
    assert answer.document.meta.deletion_timestamp == "2026-01-01T00:00:20Z"
    assert answer.document.meta.deletion_grace_period_seconds == 20


async def test_a_pod_on_no_node_goes_at_once(registry: Registry) -> None:
    await registry.create(pods.KIND, "default", pod("a"), ADMIN)
    assert (await deleted(registry, pods.KIND)).gone


async def test_a_finished_pod_goes_at_once(registry: Registry) -> None:
    await scheduled_pod(registry)
    status = {"status": {"phase": "Succeeded"}}
    await registry.patch(pods.KIND, "default", "a", status, PatchType.MERGE, ADMIN, subresource="status")
    assert (await deleted(registry, pods.KIND)).gone


async def test_the_agent_ends_a_pod_with_no_grace(registry: Registry) -> None:
    made = await scheduled_pod(registry)
    await deleted(registry, pods.KIND)
    assert (await deleted(registry, pods.KIND, grace_seconds=0, uid=made.meta.uid)).gone
    assert await there(registry, pods.KIND) is None


async def test_a_later_delete_may_only_shorten_the_time(registry: Registry, clock: FakeClock) -> None:
    await scheduled_pod(registry)
    first = await deleted(registry, pods.KIND, grace_seconds=20)
    await clock.advance(3)
    assert (await deleted(registry, pods.KIND, grace_seconds=40)).document is first.document
    assert (await deleted(registry, pods.KIND)).document is first.document
    shorter = (await deleted(registry, pods.KIND, grace_seconds=5)).document
    assert shorter is not None
    assert shorter.meta.deletion_timestamp == "2026-01-01T00:00:05Z"


async def test_a_pod_with_a_finalizer_outlives_its_agents_last_word(registry: Registry) -> None:
    document = pod("a")
    document["metadata"]["finalizers"] = ["x.io/one"]
    await registry.create(pods.KIND, "default", document, ADMIN)
    await registry.bind([("default", "a", "", "n1")])
    await deleted(registry, pods.KIND)
    assert not (await deleted(registry, pods.KIND, grace_seconds=0)).gone
    await registry.patch(pods.KIND, "default", "a", {"metadata": {"finalizers": None}}, PatchType.MERGE, ADMIN)
    assert await there(registry, pods.KIND) is None


async def test_a_namespace_ends_when_it_is_finalized(registry: Registry) -> None:
    await registry.create(namespace.KIND, "", {"metadata": {"name": "a"}}, ADMIN)
    answer = await registry.delete(namespace.KIND, "", "a", ADMIN)
    assert answer.document is not None
    document = answer.document.decode()
    assert document["status"]["phase"] == "Terminating"
    document["spec"]["finalizers"] = []
    await registry.update(namespace.KIND, "", "a", document, ADMIN, subresource="finalize")
    assert registry.table(namespace.KIND).get("a") is None


async def test_the_default_namespace_stays(registry: Registry) -> None:
    with pytest.raises(Forbidden, match='namespaces "default" is forbidden: this namespace may not be deleted'):
        await registry.delete(namespace.KIND, "", "default", ADMIN)


async def test_a_collection_is_deleted_by_selector(registry: Registry) -> None:
    for name, app in (("a", "x"), ("b", "y"), ("c", "x")):
        labelled = {"metadata": {"name": name, "labels": {"app": app}}}
        await registry.create(configmap.KIND, "default", labelled, ADMIN)
    which = ListOptions(labels=selectors.parse("app=x"))
    page = await registry.delete_collection(configmap.KIND, "default", ADMIN, DeleteOptions(), which)
    assert [document.name for document in page.documents] == ["a", "c"]
    assert [document.name for document in registry.table(configmap.KIND)] == ["b"]


async def test_an_eviction_deletes_the_pod(registry: Registry) -> None:
    await registry.create(pods.KIND, "default", pod("a"), ADMIN)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    answer = await registry.create_subresource(pods.KIND, "default", "a", "eviction", body, ADMIN)
    assert answer["status"] == "Success"
    assert await there(registry, pods.KIND) is None


async def test_a_name_being_deleted_says_so(registry: Registry) -> None:
    held = {"metadata": {"name": "a", "finalizers": ["x.io/one"]}}
    await registry.create(configmap.KIND, "default", held, ADMIN)
    await deleted(registry)
    with pytest.raises(Exception, match="object is being deleted: configmaps"):
        await registry.create(configmap.KIND, "default", config("a"), ADMIN)
