from __future__ import annotations

from tests.api.registry.cluster import ADMIN

from motet.api import bootstrap
from motet.api.options import DeleteOptions
from motet.api.registry import Registry
from motet.kinds import endpoints, endpointslice, namespace, service


async def test_a_new_cluster_has_its_namespaces_and_its_own_service(registry: Registry) -> None:
    await bootstrap.ensure(registry, [("192.168.1.5", 6443)])
    assert {found.name for found in registry.table(namespace.KIND)} == set(bootstrap.NAMESPACES)
    spec = (await registry.get(service.KIND, "default", "kubernetes", ADMIN)).decode()["spec"]
    assert spec["clusterIP"] == "10.43.0.1"
    slice_document = (await registry.get(endpointslice.KIND, "default", "kubernetes", ADMIN)).decode()
    assert slice_document["endpoints"][0]["addresses"] == ["192.168.1.5"]
    subset = (await registry.get(endpoints.KIND, "default", "kubernetes", ADMIN)).decode()["subsets"][0]
    assert subset["addresses"] == [{"ip": "192.168.1.5"}]


async def test_doing_it_again_writes_nothing(registry: Registry) -> None:
    await bootstrap.ensure(registry, [("192.168.1.5", 6443)])
    before = registry.store.revision
    await bootstrap.ensure(registry, [("192.168.1.5", 6443)])
    assert registry.store.revision == before


async def test_a_managers_new_address_becomes_known(registry: Registry) -> None:
    await bootstrap.ensure(registry, [("192.168.1.5", 6443)])
    await registry.delete(endpoints.KIND, "default", "kubernetes", ADMIN, DeleteOptions())
    await bootstrap.ensure(registry, [("192.168.1.6", 6443)])
    for kind in (endpoints.KIND, endpointslice.KIND):
        assert b"192.168.1.6" in (await registry.get(kind, "default", "kubernetes", ADMIN)).raw
