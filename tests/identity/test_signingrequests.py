"""What the three signers sign, and what comes out."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from motet.identity import signingrequests
from motet.identity.authority import Authority, IdentityError
from motet.identity.signingrequests import API_CLIENT, NODE_CLIENT, NODE_SERVING
from support.csr import CLIENT, SERVER, pem

NODE = ("system:node:n1", ("system:nodes",))


@pytest.mark.parametrize(
    ("signer", "request_pem", "usages", "why"),
    [
        (API_CLIENT, pem(), CLIENT, ""),
        (API_CLIENT, pem(), ("client auth",), ""),
        (API_CLIENT, pem(), SERVER, "invalid usage for client certificate"),
        (NODE_CLIENT, pem(*NODE), CLIENT, ""),
        (NODE_CLIENT, pem(*NODE), ("digital signature", "client auth"), ""),
        (NODE_CLIENT, pem(*NODE), SERVER, "usages did not match"),
        (NODE_CLIENT, pem("n1", ("system:nodes",)), CLIENT, "common name does not begin with system:node:"),
        (NODE_CLIENT, pem("system:node:n1", ("system:masters",)), CLIENT, "organization is not system:nodes"),
        (NODE_CLIENT, pem(*NODE, dns=["n1"]), CLIENT, "DNS subjectAltNames are not allowed"),
        (NODE_SERVING, pem(*NODE, ips=["192.0.2.1"]), SERVER, ""),
        (NODE_SERVING, pem(*NODE), SERVER, "DNS or IP subjectAltName is required"),
        (NODE_SERVING, pem("system:node:n2", NODE[1], dns=["n2"]), SERVER, "not the user who asked"),
    ],
    ids=itertools.count(),  # a request is another one in every process
)
def test_each_signer_signs_its_own_kind_only(
    signer: str, request_pem: bytes, usages: tuple[str, ...], why: str
) -> None:
    found = signingrequests.refusal(signer, signingrequests.parse(request_pem), usages, "system:node:n1")
    assert (why in found) if why else not found


@pytest.mark.parametrize(
    "text", [b"", b"nonsense", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_what_is_no_request_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(IdentityError):
        signingrequests.parse(text)


def test_a_certificate_says_what_was_asked_for_and_no_more(tmp_path: Path) -> None:
    asked = signingrequests.parse(pem(*NODE, dns=["n1"], ips=["192.0.2.1"]))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = signingrequests.sign(
        Authority.create(tmp_path), asked, SERVER, now=now, lifetime=timedelta(hours=2), uid="u1"
    )
    leaf = x509.load_pem_x509_certificate(made)
    assert [each.value for each in leaf.subject] == ["system:nodes", "system:node:n1", "u1"]
    assert leaf.not_valid_after_utc == now + timedelta(hours=2)
    [purpose] = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert purpose == ExtendedKeyUsageOID.SERVER_AUTH
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_nothing_lives_longer_than_a_year(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    asked = signingrequests.parse(pem())
    made = signingrequests.sign(Authority.create(tmp_path), asked, CLIENT, now=now, lifetime=timedelta(days=5000))
    assert signingrequests.ends(made) == now + timedelta(days=365)
