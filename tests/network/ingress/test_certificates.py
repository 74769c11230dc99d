"""Secrets that are certificates, and those that are not."""

from __future__ import annotations

import base64

import pytest
from tests.controllers.builders import document
from tests.network.ingress.pem import certificate

from motet.network.ingress import certificates
from motet.network.ingress.certificates import Unusable
from motet.store.document import Document


def secret(data: dict[str, str], kind: str = certificates.TYPE) -> Document:
    coded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert"}, "type": kind, "data": coded}
    return document("core/secrets", body)


def test_a_certificate_with_its_key_is_fine() -> None:
    made = certificate("a")
    assert certificates.read(secret({"tls.crt": made.certificate, "tls.key": made.key})) == made


def test_another_ones_key_is_refused() -> None:
    one, other = certificate("a"), certificate("b")
    with pytest.raises(Unusable, match="is not the key of"):
        certificates.read(secret({"tls.crt": one.certificate, "tls.key": other.key}))


@pytest.mark.parametrize("data", [{}, {"tls.crt": "x"}, {"tls.crt": "x", "tls.key": "y"}])
def test_what_is_no_certificate_is_refused(data: dict[str, str]) -> None:
    with pytest.raises(Unusable, match=r"tls\.crt"):
        certificates.read(secret(data))


def test_other_secrets_are_left_alone() -> None:
    with pytest.raises(Unusable, match="its type is Opaque"):
        certificates.read(secret({}, "Opaque"))
