"""All loops together, as the manager starts them."""

from __future__ import annotations

from pathlib import Path

from tests.controllers.test_workloads import web
from tests.controllers.world import World, kubelet, world

from motet.controllers.run import ControllersConfig, run_all
from motet.kinds import configmap, deployment, endpointslice, namespace, node, pod, replicaset, service, storageclass


async def everything(world: World) -> None:
    await run_all(world.client, world.clock, ControllersConfig(ca_certificate="PEM"))


async def test_a_namespace_with_an_application_lives_and_dies(tmp_path: Path) -> None:
    async with world(tmp_path, everything, kubelet) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "team"}})
        await it.create(node.KIND, {"metadata": {"name": "n1"}})
        body = web(2)
        body["metadata"]["namespace"] = "team"
        await it.create(deployment.KIND, body, "team")
        ports = [{"port": 80, "targetPort": 8080}]
        spec = {"selector": {"app": "web"}, "ports": ports}
        await it.create(service.KIND, {"metadata": {"name": "web", "namespace": "team"}, "spec": spec}, "team")

        def available() -> int:
            found = it.get(deployment.KIND, "web", "team") or {}
            return int((found.get("status") or {}).get("availableReplicas", 0))

        await it.until(lambda: available() == 2)
        await it.until(lambda: [len(each["endpoints"]) for each in it.all(endpointslice.KIND)] == [2])
        await it.until(lambda: (it.get(node.KIND, "n1") or {}).get("spec", {}).get("podCIDR"))
        assert it.get(configmap.KIND, "kube-root-ca.crt", "team")
        assert it.get(storageclass.KIND, "local-path")
        await it.client.delete(namespace.KIND, "team")
        await it.until(lambda: it.get(namespace.KIND, "team") is None)
        for kind in (deployment, replicaset, pod, service, endpointslice):
            assert not it.all(kind.KIND)
