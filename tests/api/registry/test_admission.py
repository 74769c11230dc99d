from __future__ import annotations

import asyncio

import pytest
from tests.api.registry import cluster
from tests.api.registry.cluster import ADMIN, config, pod

from motet.api.admission import BUILT_IN, Chain, Plugin, Request, refusal
from motet.api.options import DeleteOptions
from motet.api.registry import Registry
from motet.base.errors import Forbidden
from motet.kinds import configmap, persistentvolumeclaim, storageclass
from motet.kinds import pod as pods


def admit(registry: Registry, *plugins: Plugin) -> None:
    """Give the registry further plugins, behind the built-in ones."""
    cluster.admit(registry, Chain((*BUILT_IN, *plugins)))


async def test_claims_get_the_newest_default_class(registry: Registry) -> None:
    for name, default in (("slow", "false"), ("fast", "true")):
        annotations = {"storageclass.kubernetes.io/is-default-class": default}
        document = {"metadata": {"name": name, "annotations": annotations}, "provisioner": "motet.dev/local-path"}
        await registry.create(storageclass.KIND, "", document, ADMIN)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"metadata": {"name": "a"}, "spec": spec}
    made = await registry.create(persistentvolumeclaim.KIND, "default", claim, ADMIN)
    assert made.decode()["spec"]["storageClassName"] == "fast"


async def test_a_plugin_may_wait_and_change_the_document(registry: Registry) -> None:
    async def label(request: Request) -> None:
        await asyncio.sleep(0)
        assert request.new is not None
        request.new["metadata"]["labels"] = {"seen": "yes"}

    admit(registry, Plugin("Label", label, mutating=True, resources=("core/configmaps", "core/pods")))
    made = await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    assert made.meta.labels == {"seen": "yes"}
    for name in ("a", "b"):
        assert (await registry.create(pods.KIND, "default", pod(name), ADMIN)).meta.labels == {"seen": "yes"}


async def test_a_plugin_refuses_with_its_reason(registry: Registry) -> None:
    def never(request: Request) -> None:
        raise refusal(request, "not on a Friday")

    await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    admit(registry, Plugin("Never", never, verbs=("DELETE",)))
    with pytest.raises(Forbidden, match='configmaps "a" is forbidden: not on a Friday'):
        await registry.delete(configmap.KIND, "default", "a", ADMIN, DeleteOptions())
    assert len(registry.table(configmap.KIND)) == 1
