"""CertificateSigningRequests as a client meets them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.api.http.conftest import Api

from support.csr import SERVER, body, pem

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MERGE = {"Content-Type": "application/merge-patch+json"}


async def allow(api: Api, verbs: str, resources: str, *names: str) -> None:
    """eve may do this with certificates."""
    rule: dict[str, Any] = {
        "apiGroups": ["certificates.k8s.io"],
        "resources": resources.split(),
        "verbs": verbs.split(),
    }
    if names:
        rule["resourceNames"] = list(names)
    name = f"{verbs}-{resources}".replace(" ", "-").replace("/", "-")
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api.ask("POST", f"{rbac}/clusterroles", {"metadata": {"name": name}, "rules": [rule]})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"kind": "User", "name": "eve"}]
    code, _ = await api.ask(
        "POST", f"{rbac}/clusterrolebindings", {"metadata": {"name": name}, "roleRef": ref, "subjects": subjects}
    )
    assert code == 201


async def decide(api: Api, kind: str, who: str = "admin") -> tuple[int, Any]:
    patch = {"status": {"conditions": [{"type": kind, "status": "True", "reason": "test"}]}}
    return await api.ask("PATCH", f"{CSRS}/r/approval", patch, who=who, headers=MERGE)


async def test_a_request_says_who_made_it_whatever_it_claims(api: Api) -> None:
    await allow(api, "create", "certificatesigningrequests")
    code, made = await api.ask("POST", CSRS, body(username="admin", groups=["system:masters"]), who="stranger")
    assert (code, made["spec"]["username"], made["spec"]["groups"]) == (201, "eve", ["system:authenticated"])


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"request": b"nonsense"}, "spec.request"),
        ({"usages": []}, "spec.usages"),
        ({"usages": ["flying"]}, "spec.usages[0]"),
        ({"signer": "nodomain"}, "spec.signerName"),
        ({"signer": "kubernetes.io/legacy-unknown"}, "spec.signerName"),
        ({"expirationSeconds": 60}, "spec.expirationSeconds"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_field(api: Api, given: dict[str, Any], field: str) -> None:
    code, status = await api.ask("POST", CSRS, body(**given))
    assert (code, {cause["field"] for cause in status["details"]["causes"]}) == (422, {field}), status


async def test_nobody_becomes_an_administrator_this_way(api: Api) -> None:
    code, status = await api.ask("POST", CSRS, body(pem("eve", ["system:masters"])))
    assert (code, "system:masters group is not allowed" in status["message"]) == (403, True)


async def test_who_approves_needs_the_subresource_and_the_signer(api: Api) -> None:
    await api.ask("POST", CSRS, body())
    assert (await decide(api, "Approved", "stranger"))[0] == 403
    await allow(api, "update patch", "certificatesigningrequests/approval")
    code, status = await decide(api, "Approved", "stranger")
    assert (code, "user not permitted to approve requests with signerName" in status["message"]) == (403, True)
    await allow(api, "approve", "signers", "kubernetes.io/*")
    code, made = await decide(api, "Approved", "stranger")
    assert code == 200
    assert made["status"]["conditions"][0]["lastTransitionTime"]


async def test_a_decision_cannot_be_taken_back_or_doubled(api: Api) -> None:
    await api.ask("POST", CSRS, body())
    assert (await decide(api, "Approved"))[0] == 200
    for conditions in ([], [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]):
        patch = {"status": {"conditions": conditions}}
        assert (await api.ask("PATCH", f"{CSRS}/r/approval", patch, headers=MERGE))[0] == 422


async def test_who_signs_needs_the_signer_and_does_not_decide(api: Api) -> None:
    await api.ask("POST", CSRS, body(signer="example.com/own", usages=SERVER))
    await allow(api, "update patch", "certificatesigningrequests/status")
    certificate = base64.b64encode((api.pki.directory / "ca.crt").read_bytes()).decode()
    patch = {"status": {"certificate": certificate}}
    code, status = await api.ask("PATCH", f"{CSRS}/r/status", patch, who="stranger", headers=MERGE)
    assert (code, "user not permitted to sign" in status["message"]) == (403, True)
    await allow(api, "sign", "signers", "example.com/own")
    approving = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    assert (await api.ask("PATCH", f"{CSRS}/r/status", approving, who="stranger", headers=MERGE))[0] == 422
    code, made = await api.ask("PATCH", f"{CSRS}/r/status", patch, who="stranger", headers=MERGE)
    assert (code, made["status"]["certificate"]) == (200, certificate)
    assert (await api.ask("PATCH", f"{CSRS}/r/status", {"status": {"certificate": None}}, headers=MERGE))[0] == 422


async def test_what_was_asked_never_changes(api: Api) -> None:
    _, made = await api.ask("POST", CSRS, body())
    made["spec"]["username"] = "admin"
    made["metadata"]["labels"] = {"a": "b"}
    code, kept = await api.ask("PUT", f"{CSRS}/r", made)
    assert (code, kept["spec"]["username"], kept["metadata"]["labels"]) == (200, "admin", {"a": "b"})
    patch = {"spec": {"username": "eve"}}
    assert (await api.ask("PATCH", f"{CSRS}/r", patch, headers=MERGE))[1]["spec"]["username"] == "admin"


async def test_kubectl_approves_and_denies(api: Api) -> None:
    await api.ask("POST", CSRS, body())
    assert "Pending" in await api.kubectl("get", "csr")
    await api.kubectl("certificate", "approve", "r")
    assert "Approved" in await api.kubectl("get", "csr")
    await api.ask("POST", CSRS, {**body(), "metadata": {"name": "s"}})
    await api.kubectl("certificate", "deny", "s")
    assert "Denied" in await api.kubectl("get", "csr", "s")
    assert (
        len((await api.kubectl("get", "csr", "--field-selector=spec.signerName=example.com/x", "-o", "name")).split())
        == 0
    )
