"""The key that signs service-account tokens, and those whose signatures still count (JWS ES256: RFC 7515, RFC 7518).

In a directory of its own: `signing.key` (mode 0600) signs; `KEYID.pub` are its predecessors, which only verify. A key's id
is the SHA-256 of its public half, as upstream has it. There is one algorithm and it is never taken from the token, so what
a general JWT library chooses between does not arise: the cryptography is `cryptography`'s, the rest is base64 and two dots.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from motet.base.errors import MotetError
from motet.base.files import write_atomically
from motet.identity.authority import IdentityError

ALGORITHM = "ES256"
_SIGNING = "signing.key"
_ECDSA = ec.ECDSA(hashes.SHA256())
_HALF = 32
# Longer than any token we make; what is longer is not worth taking apart.
_LONGEST = 16 * 1024


class BadSignature(MotetError):
    """The text is no token, or none that one of our keys has signed."""


class _Header(msgspec.Struct, frozen=True):
    alg: str = ""
    kid: str = ""
    crit: list[str] | None = None


_header = msgspec.json.Decoder(_Header)


class KeyRing:
    """One key that signs, and every key whose signatures count."""

    def __init__(
        self, signing: ec.EllipticCurvePrivateKey, verifying: Mapping[str, ec.EllipticCurvePublicKey] | None = None
    ) -> None:
        self._signing = signing
        self.key_id = key_id(signing.public_key())
        self._verifying = {**(verifying or {}), self.key_id: signing.public_key()}

    @classmethod
    def load_or_create(cls, directory: Path) -> KeyRing:
        """The ring of `directory`, made on first use. Raises IdentityError."""
        path = directory / _SIGNING
        if not path.exists():
            write_atomically(path, _private_pem(ec.generate_private_key(ec.SECP256R1())))
        try:
            signing = serialization.load_pem_private_key(path.read_bytes(), password=None)
            public = [serialization.load_pem_public_key(old.read_bytes()) for old in sorted(directory.glob("*.pub"))]
        except (OSError, ValueError) as error:
            raise IdentityError(f"the keys of service-account tokens in {directory} cannot be read: {error}") from error
        old = [_p256(key, directory) for key in public]
        if not isinstance(signing, ec.EllipticCurvePrivateKey):
            raise IdentityError(f"{path} is no key of the kind it should be (ECDSA P-256)")
        return cls(signing, {key_id(key): key for key in old})

    def sign(self, payload: bytes) -> str:
        """A compact JWS of these bytes."""
        header = msgspec.json.encode({"alg": ALGORITHM, "kid": self.key_id})
        signed = f"{_text(header)}.{_text(payload)}"
        r, s = decode_dss_signature(self._signing.sign(signed.encode(), _ECDSA))
        return f"{signed}.{_text(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"

    def verify(self, token: str) -> bytes:
        """What was signed. Raises BadSignature, which does not repeat the token."""
        signed, dot, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        if not dot or not payload or len(token) > _LONGEST:
            raise BadSignature("the token is not a signed one of three parts")
        try:
            asked = _header.decode(_bytes(header))
            value, content = _bytes(signature), _bytes(payload)
        except (msgspec.DecodeError, ValueError) as error:
            raise BadSignature("the token cannot be read") from error
        key = self._verifying.get(asked.kid)
        if asked.alg != ALGORITHM or asked.crit is not None or key is None or len(value) != 2 * _HALF:
            raise BadSignature("the token was not signed by a key of this cluster")
        numbers = (int.from_bytes(value[:_HALF], "big"), int.from_bytes(value[_HALF:], "big"))
        try:
            key.verify(encode_dss_signature(*numbers), signed.encode(), _ECDSA)
        except InvalidSignature:
            raise BadSignature("the token was not signed by a key of this cluster") from None
        return content

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK set (RFC 7517), the one that signs first."""
        ids = sorted(self._verifying, key=lambda each: (each != self.key_id, each))
        return {"keys": [_jwk(each, self._verifying[each]) for each in ids]}


def rotate(directory: Path) -> str:
    """Let a new key sign; what the old one signed still counts. Gives the new key's id. Raises IdentityError, OSError."""
    ring = KeyRing.load_or_create(directory)
    old = ring._signing.public_key()
    # First the old one's public half, then the new one: whenever this ends, no token is worth less than before.
    write_atomically(directory / f"{ring.key_id}.pub", _public_pem(old), mode=0o644)
    new = ec.generate_private_key(ec.SECP256R1())
    write_atomically(directory / _SIGNING, _private_pem(new))
    return key_id(new.public_key())


def forget(directory: Path) -> int:
    """Let no key count but the one that signs; how many were forgotten. Raises OSError."""
    old = list(directory.glob("*.pub"))
    for path in old:
        path.unlink()
    return len(old)


class CurrentRing:
    """Gives the ring kept in a directory, read again only when its files have changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: tuple[object, KeyRing] | None = None

    def __call__(self) -> KeyRing:
        """Raises IdentityError."""
        if self._known is None:
            KeyRing.load_or_create(self._directory)
        stamp = self._stamp()
        if self._known is None or self._known[0] != stamp:
            self._known = stamp, KeyRing.load_or_create(self._directory)
        return self._known[1]

    def _stamp(self) -> object:
        try:
            signing = (self._directory / _SIGNING).stat()
            return self._directory.stat().st_mtime_ns, signing.st_mtime_ns, signing.st_ino
        except OSError as error:
            raise IdentityError(f"the keys of service-account tokens cannot be read: {error}") from error


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """What a token's header calls a key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _text(hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).digest())


def _jwk(name: str, key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    x, y = (_text(number.to_bytes(_HALF, "big")) for number in (numbers.x, numbers.y))
    return {"use": "sig", "kty": "EC", "kid": name, "crv": "P-256", "alg": ALGORITHM, "x": x, "y": y}


def _p256(key: object, directory: Path) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(f"{directory} holds a public key that is not ECDSA P-256")
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64url") from error
