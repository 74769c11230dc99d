"""TLS contexts, made in one place so that no corner of Motet talks with weaker rules than another (RFC 8446)."""

from __future__ import annotations

import ssl
from pathlib import Path


def server_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """For a listener. A client may come without a certificate, to be told so in HTTP; a wrong one ends the handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(str(certificate), str(key))
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_context(ca: Path, certificate: Path, key: Path, *, check_hostname: bool = True) -> ssl.SSLContext:
    """For a caller that shows its own certificate and trusts the cluster's root only."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = check_hostname
    context.load_cert_chain(str(certificate), str(key))
    return context


def trusting(ca: str) -> ssl.SSLContext:
    """For a caller that trusts the roots in `ca` (PEM) only, or those of the machine when it is empty. Raises ssl.SSLError."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Webhooks' own little authorities seldom name the key that signed, which newer Pythons insist on.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    return context
