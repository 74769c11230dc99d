"""Encryption at rest: what must not be read from the disk, or from a backup, is sealed before it is written.

Values under `PREFIXES` are sealed with AES-256-GCM (NIST SP 800-38D), bound to their key, so that a value moved to another
key does not open. A sealed value begins with a byte that no JSON text begins with, then says which key sealed it. The keys
are in a file beside the store, the newest one first; values sealed with older ones, and values from before there was any,
are sealed anew in the background, and the file then forgets the older keys.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from motet.base.files import write_atomically
from motet.store.engine import StoreError

PREFIXES = ("core/secrets/",)
_MARK = b"\x01"
_ID_BYTES, _NONCE_BYTES, _KEY_BYTES = 8, 12, 32
_HEAD = len(_MARK) + _ID_BYTES + _NONCE_BYTES


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key in the file: both in base64."""

    id: str
    key: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys by their id; `primary` seals."""

    primary: bytes
    keys: dict[bytes, bytes]

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Raises StoreError, FileNotFoundError."""
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=tuple[_Kept, ...])
            found = {
                base64.b64decode(each.id, validate=True): base64.b64decode(each.key, validate=True) for each in kept
            }
        except FileNotFoundError:
            raise
        except (msgspec.MsgspecError, binascii.Error) as error:
            raise StoreError(f"the keys of secrets in {path} cannot be read: {error}") from error
        except OSError as error:
            raise StoreError(f"the keys of secrets in {path} cannot be read: {error.strerror}") from error
        if (
            not found
            or any(len(key) != _KEY_BYTES for key in found.values())
            or any(len(id) != _ID_BYTES for id in found)
        ):
            raise StoreError(f"the keys of secrets in {path} are damaged; put a copy of the file in its place")
        return cls(next(iter(found)), found)

    @classmethod
    def load_or_create(cls, path: Path) -> Keys:
        """The keys in the file, which is made with a first key if it is not there."""
        try:
            return cls.load(path)
        except FileNotFoundError:
            first = cls.new()
            first.save(path)
            return first

    @classmethod
    def new(cls) -> Keys:
        name = secrets.token_bytes(_ID_BYTES)
        return cls(name, {name: AESGCM.generate_key(_KEY_BYTES * 8)})

    def rotated(self) -> Keys:
        """With a new key in front of the others."""
        new = Keys.new()
        return Keys(new.primary, {**new.keys, **self.keys})

    def only_primary(self) -> Keys:
        return Keys(self.primary, {self.primary: self.keys[self.primary]})

    def save(self, path: Path) -> None:
        """Write the file, readable by its owner only. Raises OSError."""
        kept = [_Kept(base64.b64encode(id).decode(), base64.b64encode(key).decode()) for id, key in self.keys.items()]
        write_atomically(path, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")


class Sealer:
    """Seals and opens values. The keys can be changed while it is in use."""

    def __init__(self, keys: Keys) -> None:
        self.use(keys)

    def use(self, keys: Keys) -> None:
        """Seal with these from now on, and open what any of them sealed."""
        self.keys = keys
        self._ciphers = {id: AESGCM(key) for id, key in keys.keys.items()}

    def seal(self, key: str, value: bytes) -> bytes:
        """What to write: sealed, if the key is one of those that must be."""
        if not key.startswith(PREFIXES):
            return value
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self.keys.primary].encrypt(nonce, value, key.encode())
        return b"".join((_MARK, self.keys.primary, nonce, sealed))

    def open(self, key: str, stored: bytes) -> bytes:
        """What was given to `seal`, or what was written before there was any. Raises StoreError."""
        if not stored.startswith(_MARK):
            return stored
        name = stored[1 : 1 + _ID_BYTES]
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise StoreError(
                f"{key} is encrypted with key {base64.b64encode(name).decode()}, which is not among this cluster's keys; "
                "put the file secrets.keys that belongs to this state in its place"
            )
        try:
            return cipher.decrypt(stored[1 + _ID_BYTES : _HEAD], stored[_HEAD:], key.encode())
        except InvalidTag:
            raise StoreError(f"{key} cannot be decrypted: it was changed on the disk") from None

    def is_current(self, stored: bytes) -> bool:
        """Whether a value under one of the prefixes is sealed with the newest key."""
        return stored.startswith(_MARK) and stored[1 : 1 + _ID_BYTES] == self.keys.primary
