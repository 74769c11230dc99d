"""What becomes of a request for a certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from motet.base.timestamps import format_time
from motet.controllers.certificates.decide import Fail, MayApprove, Remove, Sign, Wait, decide
from motet.kinds.certificatesigningrequest import CsrView
from support.csr import CLIENT, SERVER, body, pem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODE = pem("system:node:n1", ["system:nodes"])
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"


def request(*conditions: str, age: float = 0, decided: float = 0, certificate: str = "", **given: Any) -> CsrView:
    told = format_time(NOW - timedelta(seconds=decided))
    status = {"conditions": [{"type": each, "status": "True", "lastUpdateTime": told} for each in conditions]}
    return msgspec.convert({**body(**given), "status": {**status, "certificate": certificate}}, CsrView)


def next_of(csr: CsrView, age: float = 0) -> object:
    return decide(csr, NOW - timedelta(seconds=age), NOW)


def test_what_nobody_decided_about_waits_a_day() -> None:
    assert next_of(request()) == Wait(NOW + timedelta(days=1))
    assert next_of(request(), age=86400) == Remove()


def test_what_is_approved_is_signed() -> None:
    assert isinstance(next_of(request("Approved")), Sign)


@pytest.mark.parametrize("conditions", [("Denied",), ("Failed", "Approved")])
def test_what_is_denied_or_failed_is_not_signed_and_goes_after_an_hour(conditions: tuple[str, ...]) -> None:
    assert next_of(request(*conditions)) == Wait(NOW + timedelta(hours=1))
    assert next_of(request(*conditions, decided=3600)) == Remove()


def test_what_our_signer_may_not_sign_fails_with_the_reason() -> None:
    assert next_of(request("Approved", usages=SERVER)) == Fail("invalid usage for client certificate: server auth")


def test_other_peoples_signers_are_left_to_them() -> None:
    assert isinstance(next_of(request("Approved", signer="example.com/own")), Wait)


def test_only_nodes_asking_for_client_certificates_may_be_approved_by_themselves() -> None:
    own = request(request=NODE, signer=KUBELET, username="system:node:n1")
    assert next_of(own) == MayApprove(
        "selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."
    )
    other = next_of(request(request=NODE, signer=KUBELET, username="bootstrapper"))
    assert isinstance(other, MayApprove)
    assert other.subresource == "nodeclient"
    for csr in (request(), request(request=NODE, signer=KUBELET, usages=SERVER), request(request=NODE, usages=CLIENT)):
        assert isinstance(next_of(csr), Wait)
