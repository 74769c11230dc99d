"""The certificates that Ingresses name, looked at before they are used: one that does not fit its key would stop all."""

from __future__ import annotations

import base64
import binascii

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from motet.network.ingress.caddy import Certificate
from motet.store.document import Document

TYPE = "kubernetes.io/tls"
_CERTIFICATE, _KEY = "tls.crt", "tls.key"


class _SecretView(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    data: dict[str, str] | None = None


class Unusable(Exception):
    """The text says why."""


def read(document: Document) -> Certificate:
    """The certificate in a Secret. Raises Unusable."""
    view = document.view(_SecretView)
    if view.type != TYPE:
        raise Unusable(f"its type is {view.type or 'Opaque'}; an Ingress needs {TYPE}")
    try:
        texts = [base64.b64decode((view.data or {})[name], validate=True) for name in (_CERTIFICATE, _KEY)]
        certificate, key = (text.decode("ascii") for text in texts)
    except (KeyError, binascii.Error, UnicodeDecodeError) as error:
        raise Unusable(f"it needs {_CERTIFICATE} and {_KEY} in PEM form") from error
    try:
        chain = x509.load_pem_x509_certificates(texts[0])
        private = serialization.load_pem_private_key(texts[1], password=None)
    except (ValueError, TypeError) as error:
        raise Unusable(f"{_CERTIFICATE} or {_KEY} cannot be read") from error
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if chain[0].public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise Unusable(f"{_KEY} is not the key of {_CERTIFICATE}")
    return Certificate(certificate, key)
