"""What pods are given of their service account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, admit, config, pod

from motet.api.admission import BUILT_IN, Chain
from motet.api.registry import Registry
from motet.api.serviceaccounts import MOUNT_PATH, SERVICE_ACCOUNTS
from motet.base.errors import Forbidden
from motet.kinds import namespace, serviceaccount
from motet.kinds import pod as pods

ENFORCE = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}


@pytest.fixture
async def kernel(registry: Registry) -> Registry:
    admit(registry, Chain((*BUILT_IN, *SERVICE_ACCOUNTS)))
    await account(registry, "default")
    return registry


async def account(registry: Registry, name: str, where: str = "default", **body: Any) -> None:
    metadata = {"name": name, **body.pop("metadata", {})}
    await registry.create(serviceaccount.KIND, where, {"metadata": metadata, **body}, ADMIN)


async def made(registry: Registry, name: str = "p", where: str = "default", **spec: Any) -> dict[str, Any]:
    created = await registry.create(pods.KIND, where, pod(name, **spec), ADMIN)
    found: dict[str, Any] = created.decode()["spec"]
    return found


def mounted(spec: dict[str, Any]) -> bool:
    return any(mount["mountPath"] == MOUNT_PATH for mount in spec["containers"][0].get("volumeMounts", ()))


async def test_a_pod_finds_token_ca_and_namespace(kernel: Registry) -> None:
    spec = await made(kernel)
    [volume] = spec["volumes"]
    [mount] = spec["containers"][0]["volumeMounts"]
    assert volume["name"].startswith("kube-api-access-")
    assert mount == {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
    token, ca, where = volume["projected"]["sources"]
    assert token == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert ca["configMap"]["name"] == "kube-root-ca.crt"
    assert where["downwardAPI"]["items"][0]["path"] == "namespace"


@pytest.mark.parametrize(
    ("account_says", "pod_says", "is_mounted"),
    [(None, None, True), (None, False, False), (False, None, False), (False, True, True), (True, False, False)],
)
async def test_pod_and_account_may_opt_out_and_the_pod_has_the_last_word(
    kernel: Registry, account_says: bool | None, pod_says: bool | None, is_mounted: bool
) -> None:
    await account(kernel, "own", **({} if account_says is None else {"automountServiceAccountToken": account_says}))
    said = {} if pod_says is None else {"automountServiceAccountToken": pod_says}
    assert mounted(await made(kernel, serviceAccountName="own", **said)) is is_mounted


async def test_what_is_mounted_there_already_stays(kernel: Registry) -> None:
    containers = [
        {"name": "a", "image": "i", "volumeMounts": [{"name": "mine", "mountPath": MOUNT_PATH}]},
        {"name": "b", "image": "i"},
    ]
    spec = await made(kernel, containers=containers, volumes=[{"name": "mine", "emptyDir": {}}])
    assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == ["mine"]
    assert spec["containers"][1]["volumeMounts"][0]["name"].startswith("kube-api-access-")


async def test_pull_secrets_come_from_the_account_unless_the_pod_has_its_own(kernel: Registry) -> None:
    await account(kernel, "own", imagePullSecrets=[{"name": "registry"}])
    assert (await made(kernel, "a", serviceAccountName="own"))["imagePullSecrets"] == [{"name": "registry"}]
    spec = await made(kernel, "b", serviceAccountName="own", imagePullSecrets=[{"name": "other"}])
    assert spec["imagePullSecrets"] == [{"name": "other"}]


async def test_pods_of_one_template_follow_their_accounts_all_the_same(kernel: Registry) -> None:
    await kernel.create(namespace.KIND, "", {"metadata": {"name": "shy"}}, ADMIN)
    await account(kernel, "default", "shy", automountServiceAccountToken=False)
    for name in ("a", "b"):
        assert mounted(await made(kernel, name))
        assert not mounted(await made(kernel, name, "shy"))


async def test_an_account_that_does_not_exist_is_named(kernel: Registry) -> None:
    why = 'pods "p" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found'
    with pytest.raises(Forbidden, match=why):
        await made(kernel, serviceAccountName="nobody")


async def test_a_new_namespaces_default_account_is_waited_for(kernel: Registry) -> None:
    await kernel.create(namespace.KIND, "", {"metadata": {"name": "new"}}, ADMIN)
    making = asyncio.create_task(made(kernel, "p", "new"))
    await asyncio.sleep(0)
    await kernel.create(serviceaccount.KIND, "new", config("default") | {"data": None}, ADMIN)
    assert mounted(await making)


CSI = {"driver": "d"}


@pytest.mark.parametrize(
    ("names_it", "shown"),
    [
        (lambda secret: {"volumes": [{"name": "v", "secret": {"secretName": secret}}]}, 'volume "v"'),
        (lambda secret: {"volumes": [{"name": "v", "csi": {**CSI, "nodePublishSecretRef": {"name": secret}}}]}, "v"),
        (lambda secret: {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": secret}}]}}]}, "v"),
        (lambda secret: {"imagePullSecrets": [{"name": secret}]}, "imagePullSecrets"),
        (
            lambda secret: {"containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": secret}}]}]},
            'container "c"',
        ),
    ],
)
async def test_an_account_may_limit_the_secrets_its_pods_name(
    kernel: Registry, names_it: Callable[[str], dict[str, Any]], shown: str
) -> None:
    await account(kernel, "own", metadata=ENFORCE, secrets=[{"name": "mine"}])
    await made(kernel, "a", serviceAccountName="own", **names_it("mine"))
    with pytest.raises(Forbidden, match=f'{shown}.* references secret "theirs"'):
        await made(kernel, "b", serviceAccountName="own", **names_it("theirs"))


async def test_a_container_that_is_added_later_is_bound_by_the_same_limit(kernel: Registry) -> None:
    await account(kernel, "own", metadata=ENFORCE, secrets=[{"name": "mine"}])
    await made(kernel, "a", serviceAccountName="own")

    async def debug(name: str, secret: str) -> None:
        found = (await kernel.get(pods.KIND, "default", "a", ADMIN)).decode()
        added = {"name": name, "image": "i", "envFrom": [{"secretRef": {"name": secret}}]}
        spec = {**found["spec"], "ephemeralContainers": [added]}
        await kernel.update(
            pods.KIND, "default", "a", {**found, "spec": spec}, ADMIN, subresource="ephemeralcontainers"
        )

    with pytest.raises(Forbidden, match='container "d" references secret "theirs"'):
        await debug("d", "theirs")
    await debug("d", "mine")


async def test_a_mirror_pod_gets_nothing_and_may_ask_for_nothing(kernel: Registry) -> None:
    mirror = pod("m") | {"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}}}
    spec = (await kernel.create(pods.KIND, "default", mirror, ADMIN)).decode()["spec"]
    assert not mounted(spec)
    assert "serviceAccountName" not in spec
    mirror = pod("n", serviceAccountName="default") | {
        "metadata": {"name": "n", "annotations": {"kubernetes.io/config.mirror": "x"}}
    }
    with pytest.raises(Forbidden, match="a mirror pod may not reference service accounts"):
        await kernel.create(pods.KIND, "default", mirror, ADMIN)
