"""Asking for a certificate: the key is made where it is used and never travels; only its public half does (PKCS #10)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from motet.identity.authority import BACKDATE, IdentityError


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A new private key and the request to certify it, both PEM."""

    key: bytes
    request: bytes


def make(known: bytes = b"") -> KeyRequest:
    """For a new P-256 key, or for the PEM key `known`. The request names nobody: whoever signs decides whose it is.

    Raises IdentityError when `known` is no such key.
    """
    key = _private(known) if known else ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return KeyRequest(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        request.public_bytes(serialization.Encoding.PEM),
    )


def public_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a PEM request whose sender has proved to hold the private half. Raises IdentityError."""
    try:
        parsed = x509.load_pem_x509_csr(request)
        proven = parsed.is_signature_valid
        key = parsed.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError("the certificate request cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("the certificate request must be for an ECDSA P-256 key")
    if not proven:
        raise IdentityError("the certificate request is not signed by its own key")
    return key


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256, in hex, of a public key: what a manager remembers it by."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a certificate was made and when it ends, in UTC."""

    begins: datetime
    ends: datetime

    @property
    def renew_at(self) -> datetime:
        """Two thirds through."""
        return self.begins + (self.ends - self.begins) * 2 / 3


def lifetime(certificate: bytes) -> Lifetime:
    """Of a PEM certificate. Raises IdentityError."""
    leaf = _load(certificate)
    return Lifetime(leaf.not_valid_before_utc + BACKDATE, leaf.not_valid_after_utc)


def uid(certificate: bytes) -> str:
    """The object a PEM certificate stands for, or an empty string. Raises IdentityError."""
    found = _load(certificate).subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    return str(found[0].value) if found else ""


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError("this machine's key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("this machine's key is not an ECDSA P-256 key")
    return key


def _load(certificate: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise IdentityError(f"a certificate cannot be read: {error}") from error
