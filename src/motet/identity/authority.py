"""The cluster's certificate authority: an ECDSA P-256 root and the leaf certificates it signs (RFC 5280).

Roles travel in the certificate as Kubernetes has them: the common name is the user, each organization a group.
`system:masters` is the administrator, `system:nodes` with `system:node:NAME` an agent.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from motet.base.errors import MotetError
from motet.base.files import write_atomically

ADMIN_GROUP = "system:masters"
NODE_GROUP = "system:nodes"
NODE_USER_PREFIX = "system:node:"

_ROOT_LIFETIME = timedelta(days=3650)
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_LEAF_LIFETIME = timedelta(days=365)
# How long a node's certificate is good for. What ends a node's access is the end of its Node, not this.
NODE_LIFETIME = timedelta(days=90)
# A certificate is valid since before it was made, so that a machine whose clock is behind can use it at once.
BACKDATE = timedelta(hours=1)


# Beside ca.crt while the root is being changed: the other root to be trusted, the one to come or the one to go.
OTHER_ROOTS = "other-roots.crt"


class IdentityError(MotetError):
    """A certificate or key is missing, unreadable or does not fit."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signed leaf and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Put the pair into `directory` as NAME.crt and NAME.key (mode 0600); returns both paths."""
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        write_atomically(key, self.key)
        write_atomically(certificate, self.certificate, mode=0o644)
        return certificate, key


class Authority:
    """The root. Only a manager holds one."""

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, trusted: tuple[bytes, ...] = ()
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._trusted = trusted

    @classmethod
    def create(cls, directory: Path, *, cluster: str = "motet") -> Authority:
        """Make a new root and keep it in `directory` (ca.crt, ca.key)."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{cluster}-ca")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + _ROOT_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        authority = cls(certificate, key)
        write_atomically(directory / "ca.key", _pem_key(key))
        write_atomically(directory / "ca.crt", authority.pem, mode=0o644)
        return authority

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """The root kept in `directory`. Raises IdentityError."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
            key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise IdentityError(
                f"the cluster's certificate authority in {directory} cannot be read: {error}"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise IdentityError(f"{directory / 'ca.key'} is not the key of {directory / 'ca.crt'}")
        try:
            trusted = x509.load_pem_x509_certificates((directory / OTHER_ROOTS).read_bytes())
        except FileNotFoundError:
            trusted = []
        except ValueError as error:
            raise IdentityError(f"{directory / OTHER_ROOTS} cannot be read: {error}") from error
        others = [root for root in trusted if root != certificate]
        return cls(certificate, key, tuple(root.public_bytes(serialization.Encoding.PEM) for root in others))

    @classmethod
    def load_or_create(cls, directory: Path, *, cluster: str = "motet") -> Authority:
        """The root of `directory`, made on first use. A key without its certificate is a failure, never replaced."""
        if (directory / "ca.crt").exists():
            return cls.load(directory)
        return cls.create(directory, cluster=cluster)

    @property
    def pem(self) -> bytes:
        """The root certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def bundle(self) -> bytes:
        """Every root to be trusted at present, this one first."""
        return b"".join((self.pem, *self._trusted))

    @property
    def digest(self) -> str:
        """What a join token pins: SHA-256 of the root's DER form, in hexadecimal."""
        return hashlib.sha256(self._certificate.public_bytes(serialization.Encoding.DER)).hexdigest()

    def issue(
        self,
        common_name: str,
        organizations: Sequence[str] = (),
        *,
        sans: Sequence[str] = (),
        lifetime: timedelta = _LEAF_LIFETIME,
        key: PrivateKey | None = None,
    ) -> Certificate:
        """Sign a key pair, a new one unless given, for both ends of TLS. `sans` are DNS names and IP addresses."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        signed = self.sign(key.public_key(), common_name, organizations, sans=sans, lifetime=lifetime)
        return Certificate(signed, _pem_key(key))

    def sign(
        self,
        key: CertificatePublicKeyTypes,
        common_name: str,
        organizations: Sequence[str] = (),
        *,
        uid: str = "",
        sans: Sequence[str] = (),
        lifetime: timedelta = _LEAF_LIFETIME,
        now: datetime | None = None,
        key_usage: x509.KeyUsage | None = None,
        purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH),
    ) -> bytes:
        """A PEM leaf for somebody else's key. `uid` goes into the subject: the object this certificate stands for."""
        now = now or datetime.now(UTC)
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        if uid:
            attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, uid))
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + lifetime, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage or _usage(signs_certificates=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if sans:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(san) for san in sans]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def derive(self, purpose: str) -> bytes:
        """32 secret bytes for one purpose, which whoever holds the root's key can make again (HKDF, RFC 5869)."""
        private = self._key.private_numbers().private_value.to_bytes(32, "big")
        return HKDF(hashes.SHA256(), 32, salt=None, info=purpose.encode()).derive(private)


class CurrentAuthority:
    """Gives the root kept in a directory, read again only when its file is another."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: tuple[int, Authority] | None = None

    def __call__(self) -> Authority:
        """Raises IdentityError."""
        try:
            stamp = (self._directory / "ca.crt").stat().st_mtime_ns
            with contextlib.suppress(FileNotFoundError):
                stamp += (self._directory / OTHER_ROOTS).stat().st_mtime_ns
        except OSError as error:
            raise IdentityError(f"the cluster's root certificate cannot be read: {error}") from error
        if self._known is None or self._known[0] != stamp:
            self._known = stamp, Authority.load(self._directory)
        return self._known[1]


def covers(certificate: bytes, sans: Sequence[str], *, by: Authority, at: datetime) -> bool:
    """Whether a PEM leaf was signed by `by`, names all of `sans`, and has more than a third of its life left at `at`."""
    leaf = x509.load_pem_x509_certificate(certificate)
    try:
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(by.pem))
    except (InvalidSignature, ValueError, TypeError):
        return False
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc - BACKDATE
    if leaf.not_valid_after_utc - at < life / 3:
        return False
    try:
        named = set(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        named = set()
    return {_general_name(san) for san in sans} <= named


def _general_name(san: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(san))
    except ValueError:
        return x509.DNSName(san)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def key_for_any_client() -> rsa.RSAPrivateKey:
    """For certificates that people give to clients of theirs: Java's read RSA keys and, without an extra library, no others."""
    return rsa.generate_private_key(65537, 2048)


def _pem_key(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
