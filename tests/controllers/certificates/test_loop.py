"""Requests for certificates in a kernel with the loop."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from tests.controllers.world import World, world

from motet.api.attributes import Attributes
from motet.api.users import User
from motet.controllers.certificates.loop import Certificates
from motet.identity.authority import Authority
from motet.kinds import certificatesigningrequest as csr_kind
from motet.kinds import node
from support.csr import body, pem

NODE = pem("system:node:n1", ["system:nodes"])
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"


def signer(folder: Path, *permissions: str) -> Callable[[World], Awaitable[None]]:
    authority = Authority.create(folder / "ca")

    def may(user: User, asked: Attributes) -> bool:
        return asked.full_resource.partition("/")[2] in permissions

    async def run(it: World) -> None:
        await Certificates(it.client, it.clock, lambda: authority, may).run()

    return run


async def approve(it: World) -> None:
    changed = it.get(csr_kind.KIND, "r") or {}
    changed["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    await it.client.update(csr_kind.KIND, changed, subresource="approval")


def status(it: World) -> dict[str, Any]:
    found: dict[str, Any] = (it.get(csr_kind.KIND, "r") or {}).get("status") or {}
    return found


def leaf(it: World) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(status(it)["certificate"]))


async def test_an_approved_request_gets_its_certificate(tmp_path: Path) -> None:
    async with world(tmp_path, signer(tmp_path)) as it:
        await it.create(csr_kind.KIND, body())
        await approve(it)
        await it.until(lambda: status(it).get("certificate"))
        assert leaf(it).subject.rfc4514_string() == "CN=eve"


async def test_a_nodes_certificate_is_for_the_node_that_there_is(tmp_path: Path) -> None:
    async with world(tmp_path, signer(tmp_path, "nodeclient")) as it:
        made = await it.create(node.KIND, {"metadata": {"name": "n1"}})
        await it.create(csr_kind.KIND, body(NODE, KUBELET))
        await it.until(lambda: status(it).get("certificate"))
        assert made.meta.uid in [each.value for each in leaf(it).subject]
        assert status(it)["conditions"][0]["reason"] == "AutoApproved"


async def test_without_such_a_node_it_fails_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, signer(tmp_path, "nodeclient")) as it:
        await it.create(csr_kind.KIND, body(NODE, KUBELET))
        await it.until(lambda: len(status(it).get("conditions") or ()) == 2)
        assert status(it)["conditions"][1]["reason"] == "NoSuchNode"


async def test_nobody_is_approved_without_the_permission(tmp_path: Path) -> None:
    async with world(tmp_path, signer(tmp_path)) as it:
        await it.create(csr_kind.KIND, body(NODE, KUBELET))
        await it.create(csr_kind.KIND, {**body(), "metadata": {"name": "later"}})
        await it.until(lambda: it.get(csr_kind.KIND, "later"))
        assert not status(it)
