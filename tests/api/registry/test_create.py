from __future__ import annotations

import asyncio

import pytest
from tests.api.registry.cluster import ADMIN, config, deployment, pod

from motet.api.options import DeleteOptions, RequestOptions
from motet.api.registry import Registry
from motet.base.errors import AlreadyExists, BadRequest, Forbidden, Invalid, NotFound
from motet.kinds import configmap, namespace
from motet.kinds import deployment as deployments
from motet.kinds import pod as pods


async def test_a_new_object_has_what_only_the_server_gives(registry: Registry) -> None:
    created = await registry.create(deployments.KIND, "default", deployment(), ADMIN)
    assert created.meta.uid.count("-") == 4
    assert created.meta.creation_timestamp == "2026-01-01T00:00:00Z"
    assert created.meta.generation == 1
    assert created.meta.namespace == "default"
    assert created.meta.resource_version == str(created.revision)


async def test_what_was_created_is_there_when_the_answer_comes(registry: Registry) -> None:
    created = await registry.create(configmap.KIND, "default", config("a", x="1"), ADMIN)
    assert await registry.get(configmap.KIND, "default", "a", ADMIN) is created


async def test_a_name_can_be_taken_once(registry: Registry) -> None:
    await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
        await registry.create(configmap.KIND, "default", config("a"), ADMIN)


async def test_of_concurrent_creates_of_one_name_one_wins(registry: Registry) -> None:
    outcomes = await asyncio.gather(
        *(registry.create(configmap.KIND, "default", config("a"), ADMIN) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 7


async def test_generated_names_are_unique(registry: Registry) -> None:
    many = [{"metadata": {"generateName": "a-"}} for _ in range(200)]
    made = await asyncio.gather(*(registry.create(configmap.KIND, "default", one, ADMIN) for one in many))
    assert len({document.name for document in made}) == 200
    assert all(document.name.startswith("a-") and len(document.name) == 7 for document in made)


async def test_a_generated_name_that_is_taken_is_made_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffixes = iter(["a-1", "a-1", "a-2"])
    monkeypatch.setattr("motet.base.names.generate", lambda base: next(suffixes))
    for _ in range(2):
        last = await registry.create(configmap.KIND, "default", {"metadata": {"generateName": "a-"}}, ADMIN)
    assert last.name == "a-2"


async def test_an_object_needs_a_name(registry: Registry) -> None:
    with pytest.raises(Invalid, match="name or generateName is required"):
        await registry.create(configmap.KIND, "default", {"metadata": {}}, ADMIN)


async def test_a_namespace_must_exist(registry: Registry) -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await registry.create(configmap.KIND, "nowhere", config("a"), ADMIN)


async def test_nothing_is_created_in_a_namespace_being_deleted(registry: Registry) -> None:
    await registry.create(namespace.KIND, "", {"metadata": {"name": "going", "finalizers": ["x.io/y"]}}, ADMIN)
    await registry.delete(namespace.KIND, "", "going", ADMIN, DeleteOptions())
    with pytest.raises(Forbidden, match="unable to create new content in namespace going because it is being") as info:
        await registry.create(configmap.KIND, "going", config("a"), ADMIN)
    assert info.value.details["causes"][0]["reason"] == "NamespaceTerminating"


async def test_the_document_must_agree_with_the_url(registry: Registry) -> None:
    document = {"metadata": {"name": "a", "namespace": "other"}}
    with pytest.raises(BadRequest, match="the namespace of the provided object does not match"):
        await registry.create(configmap.KIND, "default", document, ADMIN)


async def test_a_resource_version_has_no_place_in_a_create(registry: Registry) -> None:
    document = {"metadata": {"name": "a", "resourceVersion": "7"}}
    with pytest.raises(BadRequest, match="resourceVersion should not be set on objects to be created"):
        await registry.create(configmap.KIND, "default", document, ADMIN)


async def test_the_callers_status_is_not_taken(registry: Registry) -> None:
    document = {**deployment(), "status": {"replicas": 9}}
    created = await registry.create(deployments.KIND, "default", document, ADMIN)
    assert "replicas" not in created.decode().get("status", {})


async def test_a_dry_run_answers_and_writes_nothing(registry: Registry) -> None:
    before = registry.store.revision
    made = await registry.create(configmap.KIND, "default", config("a"), ADMIN, RequestOptions(dry_run=True))
    assert made.meta.uid
    assert made.meta.resource_version == ""
    assert registry.store.revision == before


async def test_strict_validation_refuses_unknown_fields(registry: Registry) -> None:
    document = {**config("a"), "dta": {}}
    with pytest.raises(BadRequest, match='strict decoding error: unknown field "dta"'):
        await registry.create(configmap.KIND, "default", document, ADMIN, RequestOptions(field_validation="Strict"))


async def test_warn_validation_tells_of_unknown_fields_and_drops_them(registry: Registry) -> None:
    options = RequestOptions(field_validation="Warn")
    made = await registry.create(configmap.KIND, "default", {**config("a"), "dta": {}}, ADMIN, options)
    assert options.warnings == ['unknown field "dta"']
    assert "dta" not in made.decode()


async def test_wrong_types_are_a_bad_request(registry: Registry) -> None:
    document = {"metadata": {"name": "a"}, "data": {"x": 1}}
    with pytest.raises(BadRequest, match='ConfigMap in version "v1" cannot be handled as a ConfigMap'):
        await registry.create(configmap.KIND, "default", document, ADMIN)


async def test_pods_run_as_the_default_service_account_and_wait_out_a_lost_node(registry: Registry) -> None:
    spec = (await registry.create(pods.KIND, "default", pod(), ADMIN)).decode()["spec"]
    assert spec["serviceAccountName"] == "default"
    assert {item["key"]: item["tolerationSeconds"] for item in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready": 300,
        "node.kubernetes.io/unreachable": 300,
    }
