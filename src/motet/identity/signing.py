"""The key that signs service-account tokens, and those whose signatures still count (JWS: RFC 7515, RFC 7518).

In a directory of its own: `signing.key` (mode 0600) signs; `KEYID.pub` are its predecessors, which only verify. A key's id
is the SHA-256 of its public half, as upstream has it. New keys are RSA, because RS256 is what every reader of such tokens has to
know (OpenID Connect Discovery); ECDSA P-256 keys sign with ES256. The algorithm follows from the key and is never taken from the
token, so what a general JWT library chooses between does not arise: the cryptography is `cryptography`'s, the rest is base64 and
two dots.
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
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from motet.base.errors import MotetError
from motet.base.files import write_atomically
from motet.identity.authority import IdentityError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_SIGNING = "signing.key"
_RSA_BITS = 2048
_SHA256 = hashes.SHA256()
_ECDSA = ec.ECDSA(_SHA256)
_PKCS1 = padding.PKCS1v15()
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

    def __init__(self, signing: PrivateKey, verifying: Mapping[str, PublicKey] | None = None) -> None:
        self._signing = signing
        self.key_id = key_id(signing.public_key())
        self._verifying = {**(verifying or {}), self.key_id: signing.public_key()}

    @classmethod
    def load_or_create(cls, directory: Path) -> KeyRing:
        """The ring of `directory`, made on first use. Raises IdentityError."""
        path = directory / _SIGNING
        if not path.exists():
            write_atomically(path, _private_pem(_new_key()))
        try:
            signing = serialization.load_pem_private_key(path.read_bytes(), password=None)
            public = [serialization.load_pem_public_key(old.read_bytes()) for old in sorted(directory.glob("*.pub"))]
        except (OSError, ValueError) as error:
            raise IdentityError(f"the keys of service-account tokens in {directory} cannot be read: {error}") from error
        if not isinstance(signing, PrivateKey):
            raise IdentityError(f"{path} is neither an RSA nor an ECDSA key")
        old = [_known(key, directory) for key in (signing.public_key(), *public)]
        return cls(signing, {key_id(key): key for key in old})

    def sign(self, payload: bytes) -> str:
        """A compact JWS of these bytes."""
        header = msgspec.json.encode({"alg": algorithm(self._signing.public_key()), "kid": self.key_id})
        signed = f"{_text(header)}.{_text(payload)}"
        return f"{signed}.{_text(_signature(self._signing, signed.encode()))}"

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
        if key is None or asked.alg != algorithm(key) or asked.crit is not None:
            raise BadSignature("the token was not signed by a key of this cluster")
        try:
            _check(key, value, signed.encode())
        except InvalidSignature:
            raise BadSignature("the token was not signed by a key of this cluster") from None
        return content

    @property
    def public_key(self) -> PublicKey:
        """Of the key that signs."""
        return self._signing.public_key()

    @property
    def algorithms(self) -> list[str]:
        """What tokens that count may be signed with."""
        return sorted({algorithm(key) for key in self._verifying.values()})

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK set (RFC 7517), the one that signs first."""
        ids = sorted(self._verifying, key=lambda each: (each != self.key_id, each))
        return {"keys": [_jwk(each, self._verifying[each]) for each in ids]}


def rotate(directory: Path) -> str:
    """Let a new key sign; what the old one signed still counts. Gives the new key's id. Raises IdentityError, OSError."""
    ring = KeyRing.load_or_create(directory)
    old = ring.public_key
    # First the old one's public half, then the new one: whenever this ends, no token is worth less than before.
    write_atomically(directory / f"{ring.key_id}.pub", _public_pem(old), mode=0o644)
    new = _new_key()
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


def algorithm(key: PublicKey) -> str:
    """What a key signs with."""
    return "RS256" if isinstance(key, rsa.RSAPublicKey) else "ES256"


def key_id(key: PublicKey) -> str:
    """What a token's header calls a key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _text(hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).digest())


def _signature(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _PKCS1, _SHA256)
    r, s = decode_dss_signature(key.sign(data, _ECDSA))
    return r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")


def _check(key: PublicKey, value: bytes, data: bytes) -> None:
    """Raises InvalidSignature."""
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(value, data, _PKCS1, _SHA256)
        return
    if len(value) != 2 * _HALF:
        raise InvalidSignature
    numbers = (int.from_bytes(value[:_HALF], "big"), int.from_bytes(value[_HALF:], "big"))
    key.verify(encode_dss_signature(*numbers), data, _ECDSA)


def _jwk(name: str, key: PublicKey) -> dict[str, str]:
    found = {"use": "sig", "kid": name, "alg": algorithm(key)}
    if isinstance(key, rsa.RSAPublicKey):
        whole = key.public_numbers()
        return {**found, "kty": "RSA", "n": _number(whole.n), "e": _number(whole.e)}
    point = key.public_numbers()
    x, y = (_text(number.to_bytes(_HALF, "big")) for number in (point.x, point.y))
    return {**found, "kty": "EC", "crv": "P-256", "x": x, "y": y}


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _known(key: object, directory: Path) -> PublicKey:
    p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if isinstance(key, rsa.RSAPublicKey) or p256:
        return key  # type: ignore[return-value]
    raise IdentityError(f"{directory} holds a key that is neither RSA nor ECDSA P-256")


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)


def _private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64url") from error
