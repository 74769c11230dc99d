"""Join tokens: one line that lets a new machine find out whom to trust, and proves that it was invited.

`MOTET-1-DIGEST-SECRET`: the SHA-256 of the root certificate's DER form, and a secret of 128 bits that belongs to one role, both in
lower-case base32 (RFC 4648) without padding. The joiner compares the digest before it sends the secret anywhere.

The secret is not kept: it is derived from the root's private key, the role and a random salt, and only the salt is in the store.
Whoever steals the store has no token; whoever has the root's key needs none; a new salt makes a new secret and ends the old.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from motet.base.errors import MotetError
from motet.identity.authority import Authority

WORKER = "worker"
MANAGER = "manager"
ROLES = (WORKER, MANAGER)

_PREFIX = "MOTET-1-"
_SALT_BYTES = 16
_SECRET_BYTES = 16
_FORM = re.compile(r"MOTET-1-([a-z2-7]{52})-([a-z2-7]{26})")


class BadToken(MotetError):
    """The text is no join token, or not one of this cluster."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart. `digest` is 32 bytes; `secret` never goes into a log (`repr` hides it)."""

    digest: bytes
    secret: str

    def __repr__(self) -> str:
        return f"Token({self.digest.hex()[:12]}, ...)"

    def __str__(self) -> str:
        return f"{_PREFIX}{_text(self.digest)}-{self.secret}"

    def pins(self, ca: bytes) -> bool:
        """Whether this PEM root is the one the token was made for."""
        return hmac.compare_digest(digest_of(ca), self.digest)


def parse(text: str) -> Token:
    """Take a token apart. Raises BadToken, which does not repeat the text."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise BadToken(
            f"this is not a join token: one looks like {_PREFIX}... and is printed by: motet join-token worker"
        )
    return Token(_bytes(found[1]), found[2])


def digest_of(ca: bytes) -> bytes:
    """SHA-256 of a PEM certificate's DER form. Raises BadToken when it is no certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(ca)
    except ValueError as error:
        raise BadToken(f"the server sent no certificate of an authority: {error}") from error
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


def new_salt() -> bytes:
    """What makes the secrets of one role differ from all before."""
    return secrets.token_bytes(_SALT_BYTES)


def secret_of(authority: Authority, role: str, salt: bytes) -> str:
    """The secret that admits to `role` for as long as `salt` is the one in the store."""
    key = authority.derive("motet join token")
    return _text(hmac.digest(key, b"%b:%b" % (role.encode(), salt), "sha256")[:_SECRET_BYTES])


def make(authority: Authority, role: str, salt: bytes) -> Token:
    """The token of a role."""
    return Token(bytes.fromhex(authority.digest), secret_of(authority, role, salt))


def _text(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _bytes(text: str) -> bytes:
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
