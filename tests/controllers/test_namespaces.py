"""Namespaces: what they are given at birth and how they are emptied at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.builders import NOW
from tests.controllers.world import World, kubelet, world

from motet.controllers.namespaces import Namespaces, Remaining, conditions
from motet.controllers.serviceaccounts import NamespaceDefaults
from motet.kinds import configmap, namespace, pod, serviceaccount
from motet.kinds.catalogue import Catalogue


async def namespaces(world: World) -> None:
    await Namespaces(world.client, world.clock, Catalogue()).run()


async def defaults(world: World) -> None:
    await NamespaceDefaults(world.client, world.clock, "PEM").run()


def reasons(remaining: Remaining, failure: str = "") -> dict[str, str]:
    return {each.type: each.reason for each in conditions((), remaining, failure, NOW)}


def test_the_conditions_name_what_is_left_and_what_holds_it() -> None:
    found = {each.type: each for each in conditions((), Remaining({"pods.": 2}, {"example.com/x": 1}), "", NOW)}
    assert found["NamespaceContentRemaining"].status == "True"
    assert found["NamespaceContentRemaining"].message == "Some resources are remaining: pods. has 2 resource instances"
    assert found["NamespaceFinalizersRemaining"].reason == "SomeFinalizersRemain"
    assert found["NamespaceDeletionContentFailure"].reason == "ContentDeleted"


def test_an_empty_namespace_has_nothing_to_complain_about() -> None:
    assert {each.status for each in conditions((), Remaining({}, {}), "", NOW)} == {"False"}


def test_a_failure_to_delete_is_told() -> None:
    assert reasons(Remaining({}, {}), "no")["NamespaceDeletionContentFailure"] == "ContentDeletionFailed"


async def config(it: World, name: str, where: str, **metadata: Any) -> None:
    await it.create(configmap.KIND, {"metadata": {"name": name, "namespace": where, **metadata}}, where)


async def test_a_deleted_namespace_is_emptied_and_goes(tmp_path: Path) -> None:
    async with world(tmp_path, namespaces, kubelet) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "team"}})
        await config(it, "a", "team")
        await config(it, "elsewhere", "default")
        await it.create(
            pod.KIND,
            {"metadata": {"name": "p", "namespace": "team"}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            "team",
        )
        await it.until(lambda: (it.get(pod.KIND, "p", "team") or {}).get("status", {}).get("podIP"))
        await it.client.delete(namespace.KIND, "team")
        await it.until(lambda: it.get(namespace.KIND, "team") is None)
        assert [each["metadata"]["name"] for each in it.all(configmap.KIND)] == ["elsewhere"]
        assert not it.all(pod.KIND)


async def test_a_finalizer_inside_holds_the_namespace_and_is_named(tmp_path: Path) -> None:
    async with world(tmp_path, namespaces) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "team"}})
        await config(it, "held", "team", finalizers=["example.com/wait"])
        await it.client.delete(namespace.KIND, "team")

        def told() -> str:
            found = (it.get(namespace.KIND, "team") or {})["status"].get("conditions") or ()
            return next((c["message"] for c in found if c["type"] == "NamespaceFinalizersRemaining"), "")

        await it.until(lambda: "example.com/wait in 1 resource instances" in told())
        await it.client.patch(configmap.KIND, "held", {"metadata": {"finalizers": None}}, "team")
        await it.until(lambda: it.get(namespace.KIND, "team") is None)


async def test_every_namespace_has_its_account_and_its_ca(tmp_path: Path) -> None:
    async with world(tmp_path, defaults) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "team"}})
        for where in ("default", "team"):
            await it.until(lambda where=where: it.get(serviceaccount.KIND, "default", where))
            await it.until(lambda where=where: it.get(configmap.KIND, "kube-root-ca.crt", where))


async def test_the_account_and_the_ca_come_back(tmp_path: Path) -> None:
    async with world(tmp_path, defaults) as it:
        first = await it.until(lambda: it.get(serviceaccount.KIND, "default"))
        await it.until(lambda: it.get(configmap.KIND, "kube-root-ca.crt"))
        await it.client.delete(serviceaccount.KIND, "default", "default")
        await it.client.patch(configmap.KIND, "kube-root-ca.crt", {"data": {"ca.crt": "forged"}}, "default")

        def restored() -> bool:
            account = it.get(serviceaccount.KIND, "default")
            ca = it.get(configmap.KIND, "kube-root-ca.crt") or {}
            return bool(
                account and account["metadata"]["uid"] != first["metadata"]["uid"] and ca["data"]["ca.crt"] == "PEM"
            )

        await it.until(restored)
