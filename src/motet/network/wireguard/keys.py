"""The node's own WireGuard keys (Curve25519, RFC 7748): made here, kept here, changed without anybody typing anything.

Only the public half leaves the node, in its Node document. A new key is made beside the one in use, published, and taken into
use when the cluster shows it, which is when the peers see it too: so both ends change within the same moment. Every step is
one write, and what comes next follows from what is there, so a crash between two of them is safe.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from motet.base.files import write_atomically

_log = logging.getLogger(__name__)

_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pair:
    """Both halves in base64, as WireGuard's own tools write keys. The private one is never shown."""

    public: str
    private: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """What the node has: the key in use, made `age` seconds ago, and the one that follows it if there is one yet."""

    current: Pair
    age: float
    next: Pair | None = None


@dataclass(frozen=True, slots=True)
class Make:
    """Make the key that follows."""


@dataclass(frozen=True, slots=True)
class Publish:
    public: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take the key that follows into use."""


Step = Make | Publish | Adopt


def decide(held: Held, published: str, lifetime: float) -> Step | None:
    """The next step from what the node holds and its Node document shows; None when all is as it should be."""
    if held.next is not None:
        return Adopt() if published == held.next.public else Publish(held.next.public)
    if published != held.current.public:
        return Publish(held.current.public)
    return Make() if held.age >= lifetime else None


def generate() -> Pair:
    return _pair(X25519PrivateKey.generate())


def of_private(text: str) -> Pair:
    """Raises ValueError."""
    return _pair(X25519PrivateKey.from_private_bytes(raw(text)))


def raw(text: str) -> bytes:
    """The 32 bytes of a key in base64. Raises ValueError."""
    key = base64.b64decode(text, validate=True)
    if len(key) != _BYTES:
        raise ValueError(f"a WireGuard key has {_BYTES} bytes, not {len(key)}")
    return key


def text(key: bytes) -> str:
    """Base64 of the bytes of a key."""
    return base64.b64encode(key).decode()


def _pair(private: X25519PrivateKey) -> Pair:
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Pair(text(public), text(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())))


class KeyFiles:
    """Where the node keeps them: one file per key, for root only. `now` is the time of day in seconds."""

    def __init__(self, directory: Path, now: Callable[[], float]) -> None:
        self._directory = directory
        self._now = now

    @property
    def current(self) -> Path:
        return self._directory / "private.key"

    @property
    def next(self) -> Path:
        return self._directory / "next.key"

    def load(self) -> Held:
        """What is there; a first key is made if there is none that can be used. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        current = self._read(self.current)
        if current is None:
            current = self._make(self.current)
        age = self._now() - self.current.stat().st_mtime
        return Held(current, age, self._read(self.next))

    def take(self, step: Make | Adopt) -> None:
        """Raises OSError."""
        if isinstance(step, Make):
            self._make(self.next)
        else:
            os.replace(self.next, self.current)

    def _make(self, path: Path) -> Pair:
        made = generate()
        write_atomically(path, made.private.encode() + b"\n", mode=0o600)
        os.utime(path, (self._now(), self._now()))
        return made

    def _read(self, path: Path) -> Pair | None:
        try:
            content = path.read_text()
        except FileNotFoundError:
            return None
        path.chmod(0o600)
        try:
            return of_private(content.strip())
        except ValueError:
            _log.error("%s is not a key; another one is made", path)
            return None
