"""Certificate requests for tests, made on the spot."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY = ec.generate_private_key(ec.SECP256R1())
CLIENT = ("digital signature", "key encipherment", "client auth")
SERVER = ("digital signature", "key encipherment", "server auth")


def pem(name: str = "eve", groups: Sequence[str] = (), dns: Sequence[str] = (), ips: Sequence[str] = ()) -> bytes:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    names = [*(x509.DNSName(each) for each in dns), *(x509.IPAddress(ipaddress.ip_address(each)) for each in ips)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def body(
    request: bytes = b"",
    signer: str = "kubernetes.io/kube-apiserver-client",
    usages: Sequence[str] = CLIENT,
    **spec: Any,
) -> dict[str, Any]:
    """A CertificateSigningRequest called `r`."""
    coded = base64.b64encode(request or pem()).decode()
    return {
        "metadata": {"name": "r"},
        "spec": {"request": coded, "signerName": signer, "usages": list(usages), **spec},
    }


def private() -> bytes:
    return KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
