"""Certificate requests of others (PKCS #10): what they ask for, whether one of our signers may give it, and the certificate.

The three signers are Kubernetes' ("Certificate Signing Requests", Kubernetes signers). What each of them allows is a rule over
the request alone; who approved it is asked elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from motet.identity.authority import NODE_GROUP, NODE_USER_PREFIX, Authority, IdentityError

API_CLIENT = "kubernetes.io/kube-apiserver-client"
NODE_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
NODE_SERVING = "kubernetes.io/kubelet-serving"

# The longest and the usual life of what is signed here; upstream's default.
LIFETIME = timedelta(days=365)

_KEY_USAGES: Mapping[str, str] = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED: Mapping[str, x509.ObjectIdentifier] = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
USAGES = frozenset(_KEY_USAGES) | frozenset(_EXTENDED)
"""What a request may ask the key to be good for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose sender has proved to hold the private key."""

    key: CertificatePublicKeyTypes
    common_name: str
    organizations: tuple[str, ...]
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def parse(pem: bytes) -> Asked:
    """Raises IdentityError, in upstream's words where there are any."""
    if not pem.lstrip().startswith(b"-----BEGIN CERTIFICATE REQUEST-----"):
        raise IdentityError("PEM block type must be CERTIFICATE REQUEST")
    try:
        request = x509.load_pem_x509_csr(pem)
        proven, key = request.is_signature_valid, request.public_key()
        names = _alternative(request)
        common = [str(each.value) for each in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        groups = [str(each.value) for each in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"the certificate request cannot be read: {error}") from error
    if not proven:
        raise IdentityError("the certificate request is not signed by its own key")
    return Asked(key, common[-1] if common else "", tuple(groups), **names)


def _alternative(request: x509.CertificateSigningRequest) -> dict[str, tuple[str, ...]]:
    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return {}
    return {
        "dns": tuple(found.get_values_for_type(x509.DNSName)),
        "addresses": tuple(map(str, found.get_values_for_type(x509.IPAddress))),
        "emails": tuple(found.get_values_for_type(x509.RFC822Name)),
        "uris": tuple(found.get_values_for_type(x509.UniformResourceIdentifier)),
    }


def refusal(signer: str, asked: Asked, usages: Sequence[str], username: str) -> str:
    """Why a signer of ours may not sign this, or an empty string. Raises KeyError for a signer that is none of ours."""
    return SIGNERS[signer](asked, frozenset(usages), username)


def _api_client(asked: Asked, usages: frozenset[str], username: str) -> str:
    surplus = usages - {"digital signature", "key encipherment", "client auth"}
    if surplus or "client auth" not in usages:
        return f"invalid usage for client certificate: {', '.join(sorted(surplus)) or 'client auth is missing'}"
    return ""


def _node_client(asked: Asked, usages: frozenset[str], username: str) -> str:
    for kind, given in (
        ("DNS", asked.dns), ("Email", asked.emails), ("IP", asked.addresses), ("URI", asked.uris),
    ):  # fmt: skip
        if given:
            return f"{kind} subjectAltNames are not allowed"
    return _node_name(asked) or _exactly(usages, "client auth")


def _node_serving(asked: Asked, usages: frozenset[str], username: str) -> str:
    if not asked.dns and not asked.addresses:
        return "DNS or IP subjectAltName is required"
    for kind, given in (("Email", asked.emails), ("URI", asked.uris)):
        if given:
            return f"{kind} subjectAltNames are not allowed"
    if asked.common_name != username:
        return "the subject's common name is not the user who asked"
    return _node_name(asked) or _exactly(usages, "server auth")


def _node_name(asked: Asked) -> str:
    if asked.organizations != (NODE_GROUP,):
        return "subject organization is not system:nodes"
    return (
        "" if asked.common_name.startswith(NODE_USER_PREFIX) else "subject common name does not begin with system:node:"
    )


def _exactly(usages: frozenset[str], purpose: str) -> str:
    needed = {"digital signature", purpose}
    if usages in (needed, needed | {"key encipherment"}):
        return ""
    return f"usages did not match {sorted(needed | {'key encipherment'})}"


SIGNERS: Mapping[str, Callable[[Asked, frozenset[str], str], str]] = {
    API_CLIENT: _api_client,
    NODE_CLIENT: _node_client,
    NODE_SERVING: _node_serving,
}


def sign(
    authority: Authority,
    asked: Asked,
    usages: Sequence[str],
    *,
    now: datetime,
    lifetime: timedelta = LIFETIME,
    uid: str = "",
) -> bytes:
    """The certificate, PEM, with its subject and names as they were asked for. `uid`: the object it stands for."""
    key_usages = dict.fromkeys(_KEY_USAGES.values(), False)
    key_usages.update((_KEY_USAGES[usage], True) for usage in usages if usage in _KEY_USAGES)
    return authority.sign(
        asked.key,
        asked.common_name,
        asked.organizations,
        uid=uid,
        sans=(*asked.dns, *asked.addresses),
        lifetime=min(lifetime, LIFETIME),
        now=now,
        key_usage=x509.KeyUsage(**key_usages),
        purposes=[_EXTENDED[usage] for usage in usages if usage in _EXTENDED],
    )


def problem_of_chain(pem: bytes) -> str:
    """Why a status's certificate is none, or an empty string."""
    inside = [line for line in pem.splitlines() if line.startswith(b"-----BEGIN ")]
    for line in inside:
        kind = line.removeprefix(b"-----BEGIN ").removesuffix(b"-----").decode(errors="replace")
        if kind != "CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind}"'
    if not inside:
        return "must contain at least one CERTIFICATE PEM block"
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        return str(error)
    return ""


def ends(pem: bytes) -> datetime | None:
    """When a certificate runs out, in UTC; None when it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except ValueError:
        return None
