from __future__ import annotations

import pytest
from tests.api.registry.cluster import ADMIN, pod

from motet.api.options import DeleteOptions
from motet.api.registry import Registry
from motet.base.errors import BadRequest, Conflict, NotFound
from motet.kinds import pod as pods
from motet.store.document import Document


@pytest.fixture
async def web(registry: Registry) -> Document:
    return await registry.create(pods.KIND, "default", pod(), ADMIN)


async def test_a_bound_pod_has_its_node_and_is_scheduled(registry: Registry, web: Document) -> None:
    assert await registry.bind([("default", "web", web.meta.uid, "n1")]) == [None]
    document = (await registry.get(pods.KIND, "default", "web", ADMIN)).decode()
    assert document["spec"].pop("nodeName") == "n1"
    assert document["spec"] == web.decode()["spec"]
    [condition] = document["status"].pop("conditions")
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    assert document["status"] == web.decode()["status"]


async def test_a_pod_is_bound_once(registry: Registry, web: Document) -> None:
    answers = await registry.bind([("default", "web", "", "n1"), ("default", "web", "", "n2")])
    assert answers[0] is None
    assert isinstance(answers[1], Conflict)
    [again] = await registry.bind([("default", "web", "", "n2")])
    assert isinstance(again, Conflict)
    assert 'pod web is already assigned to node "n1"' in str(again)


async def test_bindings_fail_one_by_one(registry: Registry, web: Document) -> None:
    answers = await registry.bind([("default", "gone", "", "n1"), ("default", "web", "", "n1")])
    assert isinstance(answers[0], NotFound)
    assert answers[1] is None


async def test_another_pod_of_the_name_is_not_bound(registry: Registry, web: Document) -> None:
    [answer] = await registry.bind([("default", "web", "other-uid", "n1")])
    assert isinstance(answer, Conflict)


async def test_a_pod_being_deleted_is_not_bound(registry: Registry) -> None:
    document = pod()
    document["metadata"]["finalizers"] = ["x.io/one"]
    await registry.create(pods.KIND, "default", document, ADMIN)
    await registry.delete(pods.KIND, "default", "web", ADMIN, DeleteOptions())
    [answer] = await registry.bind([("default", "web", "", "n1")])
    assert "is being deleted, cannot be assigned to a host" in str(answer)


async def test_the_binding_subresource_binds(registry: Registry, web: Document) -> None:
    body = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}}
    await registry.create_subresource(pods.KIND, "default", "web", "binding", body, ADMIN)
    found = registry.table(pods.KIND).get("web", "default")
    assert found is not None
    assert found.decode()["spec"]["nodeName"] == "n1"


async def test_a_binding_needs_a_target(registry: Registry, web: Document) -> None:
    with pytest.raises(BadRequest, match=r"target\.name"):
        await registry.create_subresource(pods.KIND, "default", "web", "binding", {}, ADMIN)
