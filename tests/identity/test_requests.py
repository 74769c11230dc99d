"""Certificate requests."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from motet.identity import requests
from motet.identity.authority import Authority, IdentityError
from motet.identity.requests import Lifetime


def test_a_request_carries_a_key_and_no_name() -> None:
    made = requests.make()
    assert requests.public_key(made.request).curve.name == "secp256r1"
    assert not list(x509.load_pem_x509_csr(made.request).subject)


def test_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(IdentityError, match="P-256"):
        requests.public_key(request.public_bytes(serialization.Encoding.PEM))


def test_a_request_for_somebody_elses_key_is_refused() -> None:
    der = bytearray(x509.load_pem_x509_csr(requests.make().request).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n%b-----END CERTIFICATE REQUEST-----\n"
    import base64

    with pytest.raises(IdentityError):
        requests.public_key(pem % base64.encodebytes(bytes(der)))


@given(st.binary(max_size=300))
def test_whatever_a_stranger_sends_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(IdentityError):
        requests.public_key(data)


def test_a_certificate_is_renewed_at_two_thirds() -> None:
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    assert Lifetime(begins, begins + timedelta(days=90)).renew_at == begins + timedelta(days=60)


def test_a_signed_key_has_the_uid_in_its_subject(tmp_path) -> None:  # type: ignore[no-untyped-def]
    authority = Authority.create(tmp_path)
    key = requests.public_key(requests.make().request)
    assert requests.uid(authority.sign(key, "system:node:n1", uid="1234-ab")) == "1234-ab"
    assert requests.uid(authority.sign(key, "system:node:n1")) == ""
