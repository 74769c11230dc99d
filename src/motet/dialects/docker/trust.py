"""Whom nodes trust, as Swarm shows it."""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from motet.dialects.docker.call import Engine

Json = dict[str, Any]


def tls_info(engine: Engine) -> Json:
    """The root that everyone trusts, as nodes show it."""
    pem = engine.roots()
    certificate = x509.load_pem_x509_certificate(pem)
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "TrustRoot": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "CertIssuerSubject": base64.b64encode(certificate.subject.public_bytes()).decode(),
        "CertIssuerPublicKey": base64.b64encode(key).decode(),
    }
