"""Who may be on which Network, and when one may go."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, admit, pod, service

from motet.api.admission import BUILT_IN, Chain
from motet.api.networks import NETWORKS
from motet.api.options import DeleteOptions
from motet.api.registry import Registry
from motet.base.errors import Forbidden, Invalid, NotFound
from motet.kinds import app, namespace, network
from motet.kinds import pod as pods
from motet.kinds import service as services
from motet.kinds.attachments import ANNOTATION

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def _admission(registry: Registry) -> None:
    admit(registry, Chain((*BUILT_IN, *NETWORKS)))


async def make(registry: Registry, name: str, where: str = "default", **spec: Any) -> None:
    await registry.create(network.KIND, where, {"metadata": {"name": name}, "spec": spec}, ADMIN)


def on(networks: str, name: str = "web", *, managed: bool = True, of: str = "1", **spec: Any) -> Json:
    document = pod(name, **spec)
    document["metadata"]["annotations"] = {ANNOTATION: networks}
    if managed:
        owner = {"apiVersion": "motet.dev/v1", "kind": "App", "name": "web", "uid": of, "controller": True}
        document["metadata"]["ownerReferences"] = [owner]
    return document


async def test_a_pod_of_a_workload_joins_any_network_of_its_namespace(registry: Registry) -> None:
    await make(registry, "back")
    for name in ("a", "b"):  # the second one the short way
        await registry.create(pods.KIND, "default", on("back=db", name), ADMIN)


async def test_a_network_that_is_not_there_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match=r'networks.motet.dev "default/back" not found'):
        await registry.create(pods.KIND, "default", on("back"), ADMIN)


async def test_an_annotation_that_cannot_be_read_is_invalid_for_the_second_pod_of_a_template_too(
    registry: Registry,
) -> None:
    await registry.create(pods.KIND, "default", pod("first"), ADMIN)
    with pytest.raises(Invalid, match=r"metadata.annotations\[motet.dev/networks\]: Invalid value: \"a,b\""):
        await registry.create(pods.KIND, "default", on("a,b"), ADMIN)


async def test_a_pod_that_no_workload_manages_needs_an_attachable_network(registry: Registry) -> None:
    await make(registry, "back")
    await make(registry, "tools", attachable=True)
    await registry.create(pods.KIND, "default", on("tools", "a", managed=False), ADMIN)
    with pytest.raises(Forbidden, match="network default/back not manually attachable"):
        await registry.create(pods.KIND, "default", on("back", "b", managed=False), ADMIN)


async def test_another_namespaces_network_takes_those_it_lets_in(registry: Registry) -> None:
    await registry.create(namespace.KIND, "", {"metadata": {"name": "shop"}}, ADMIN)
    await make(registry, "public", "shop", namespaces=["default"])
    await make(registry, "back", "shop")
    await registry.create(pods.KIND, "default", on("shop/public"), ADMIN)
    with pytest.raises(Forbidden, match="network shop/back does not let in namespace default"):
        await registry.create(pods.KIND, "default", on("shop/back", "b"), ADMIN)


async def test_a_service_is_named_only_where_its_namespace_is_let_in(registry: Registry) -> None:
    document = service("web")
    document["metadata"]["annotations"] = {ANNOTATION: "shop/back=db"}
    await registry.create(namespace.KIND, "", {"metadata": {"name": "shop"}}, ADMIN)
    await make(registry, "back", "shop")
    with pytest.raises(Forbidden, match="does not let in namespace default"):
        await registry.create(services.KIND, "default", document, ADMIN)


async def test_a_pod_in_the_nodes_network_is_on_no_network(registry: Registry) -> None:
    await make(registry, "back")
    for name in ("a", "b"):
        with pytest.raises(Forbidden, match="a pod with hostNetwork is on no Network"):
            await registry.create(pods.KIND, "default", on("back", name, hostNetwork=True), ADMIN)


async def test_a_running_pod_may_join_and_leave(registry: Registry) -> None:
    await make(registry, "back")
    await make(registry, "tools", attachable=True)
    made = (await registry.create(pods.KIND, "default", pod(), ADMIN)).decode()
    made["metadata"]["annotations"] = {ANNOTATION: "tools"}
    await registry.update(pods.KIND, "default", "web", made, ADMIN)
    made = registry.table(pods.KIND).get("web", "default").decode()  # type: ignore[union-attr]
    made["metadata"]["annotations"] = {ANNOTATION: "tools back"}
    with pytest.raises(Forbidden, match="network default/back not manually attachable"):
        await registry.update(pods.KIND, "default", "web", made, ADMIN)
    del made["metadata"]["annotations"]
    left, _ = await registry.update(pods.KIND, "default", "web", made, ADMIN)
    assert not left.meta.annotations


async def test_what_was_let_in_once_stays_when_the_network_would_not_take_it_now(registry: Registry) -> None:
    await make(registry, "tools", attachable=True)
    await registry.create(pods.KIND, "default", on("tools", managed=False), ADMIN)
    closed = {"metadata": {"name": "tools"}, "spec": {"attachable": False}}
    await registry.update(network.KIND, "default", "tools", closed, ADMIN)
    made = registry.table(pods.KIND).get("web", "default")
    assert made is not None
    changed = made.decode()
    changed["metadata"]["annotations"] = {ANNOTATION: "tools=alias"}
    await registry.update(pods.KIND, "default", "web", changed, ADMIN)


async def workload(registry: Registry) -> str:
    """An App called web; its uid."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
    made = await registry.create(
        app.KIND, "default", {"metadata": {"name": "web"}, "spec": {"template": template}}, ADMIN
    )
    return made.meta.uid


async def test_a_network_in_use_is_not_deleted_and_the_refusal_names_who_uses_it(registry: Registry) -> None:
    await make(registry, "back")
    uid = await workload(registry)
    for number in range(4):
        await registry.create(pods.KIND, "default", on("back", f"p{number}", of=uid), ADMIN)
    await registry.create(pods.KIND, "default", pod("other"), ADMIN)
    words = r"network default/back is in use by pod default/p\d, default/p\d, default/p\d and 1 more"
    with pytest.raises(Forbidden, match=words):
        await registry.delete(network.KIND, "default", "back", ADMIN, DeleteOptions())
    for number in range(4):
        await registry.delete(pods.KIND, "default", f"p{number}", ADMIN, DeleteOptions())
    await registry.delete(network.KIND, "default", "back", ADMIN, DeleteOptions())


async def test_a_network_goes_with_the_workload_on_it_before_the_pods_are_collected(registry: Registry) -> None:
    await make(registry, "back")
    uid = await workload(registry)
    await registry.create(pods.KIND, "default", on("back", of=uid), ADMIN)
    with pytest.raises(Forbidden, match="in use by pod default/web"):
        await registry.delete(network.KIND, "default", "back", ADMIN, DeleteOptions())
    await registry.delete(app.KIND, "default", "web", ADMIN, DeleteOptions())
    await registry.delete(network.KIND, "default", "back", ADMIN, DeleteOptions())
