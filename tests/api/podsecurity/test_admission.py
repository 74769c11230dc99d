"""Pods in namespaces that say what they may."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, admit, deployment, pod

from motet.api.admission import BUILT_IN, Chain
from motet.api.options import RequestOptions
from motet.api.podsecurity.admission import POD_SECURITY
from motet.api.registry import Registry
from motet.base.errors import Forbidden, Invalid
from motet.kinds import deployment as deployments
from motet.kinds import namespace
from motet.kinds import pod as pods


@pytest.fixture
def kernel(registry: Registry) -> Registry:
    admit(registry, Chain((*BUILT_IN, *POD_SECURITY)))
    return registry


async def label(registry: Registry, **modes: str) -> RequestOptions:
    options = RequestOptions()
    document = registry.table(namespace.KIND).get("default")
    assert document is not None
    body = document.decode()
    body["metadata"]["labels"] = {
        f"pod-security.kubernetes.io/{mode.replace('_', '-')}": each for mode, each in modes.items()
    }
    await registry.update(namespace.KIND, "", "default", body, ADMIN, options)
    return options


async def made(registry: Registry, name: str = "p", **spec: Any) -> RequestOptions:
    options = RequestOptions()
    await registry.create(pods.KIND, "default", pod(name, **spec), ADMIN, options)
    return options


async def test_a_namespace_without_labels_lets_everything_in(kernel: Registry) -> None:
    assert (await made(kernel, hostNetwork=True)).warnings == []


async def test_what_is_enforced_is_refused_also_for_a_known_template(kernel: Registry) -> None:
    await made(kernel, "a", hostNetwork=True)
    await label(kernel, enforce="baseline")
    with pytest.raises(Forbidden) as refused:
        await made(kernel, "b", hostNetwork=True)
    assert refused.value.message == (
        'pods "b" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    assert (await made(kernel, "c")).annotations["pod-security.kubernetes.io/enforce-policy"] == "baseline:latest"


async def test_what_is_warned_about_is_told_and_what_is_audited_noted(kernel: Registry) -> None:
    await label(kernel, warn="baseline", audit="restricted", audit_version="v1.30")
    told = await made(kernel, hostNetwork=True)
    assert told.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']
    assert told.annotations["pod-security.kubernetes.io/audit-violations"].startswith(
        'would violate PodSecurity "restricted:v1.30": host namespaces'
    )


async def test_who_writes_a_template_is_warned_and_not_refused(kernel: Registry) -> None:
    await label(kernel, enforce="restricted", warn="restricted")
    options = RequestOptions()
    await kernel.create(deployments.KIND, "default", deployment(), ADMIN, options)
    assert options.warnings[0].startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation')
    document = kernel.table(deployments.KIND).get("web", "default")
    assert document is not None
    body = document.decode()
    body["spec"]["replicas"] = 3
    again = RequestOptions()
    await kernel.update(deployments.KIND, "default", "web", body, ADMIN, again)
    assert again.warnings == []


async def test_a_stricter_level_tells_which_pods_it_would_not_have_let_in(kernel: Registry) -> None:
    for name in ("a", "b"):
        await made(kernel, name, hostNetwork=True)
    await made(
        kernel,
        "c",
        hostPID=True,
        hostIPC=True,
        containers=[{"name": "c", "image": "i", "securityContext": {"privileged": True}}],
    )
    told = await label(kernel, enforce="baseline")
    assert told.warnings == [
        'existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 1 other pod): host namespaces",
        "c: host namespaces, privileged",
    ]


@pytest.mark.parametrize(
    ("modes", "words"),
    [
        ({"enforce": "strict"}, "must be one of privileged, baseline, restricted"),
        ({"warn_version": "1.30"}, 'must be "latest" or "v1.x"'),
    ],
)
async def test_labels_that_say_nothing_known_are_refused(kernel: Registry, modes: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await label(kernel, **modes)


async def test_an_update_is_looked_at_when_it_brings_an_image(kernel: Registry) -> None:
    await made(kernel, hostNetwork=True)
    await label(kernel, enforce="baseline")
    document = kernel.table(pods.KIND).get("p", "default")
    assert document is not None
    body = document.decode()
    body["metadata"]["labels"] = {"a": "b"}
    await kernel.update(pods.KIND, "default", "p", body, ADMIN)
    document = kernel.table(pods.KIND).get("p", "default")
    assert document is not None
    body = document.decode()
    body["spec"]["containers"][0]["image"] = "other"
    with pytest.raises(Forbidden, match="violates PodSecurity"):
        await kernel.update(pods.KIND, "default", "p", body, ADMIN)
