"""The keys by which a client leaves a process alone (`--detach-keys`). Pure."""

from __future__ import annotations

import re

from motet.dialects.docker.errors import bad

_DETACH = "ctrl-p,ctrl-q"


def keys_of(text: str) -> bytes:
    """`ctrl-p,ctrl-q` or `a,b` as the bytes a terminal sends. Raises DockerError."""
    found = bytearray()
    for key in (text or _DETACH).split(","):
        if len(key) == 1:
            found += key.encode()
        elif match := re.fullmatch(r"ctrl-([a-z@\[\\\]^_])", key):
            found.append(ord(match[1].upper()) & 0x1F)
        else:
            raise bad(f"Invalid detach keys ({text}) provided")
    return bytes(found)


class Keys:
    """Looks for a sequence of keys in what is typed; no keys are never found."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def see(self, typed: bytes) -> tuple[bytes, bool]:
        """(what is to be passed on, whether the sequence is complete). What may be its beginning is held back."""
        if not self._keys:
            return typed, False
        text = self._held + typed
        at = text.find(self._keys)
        if at >= 0:
            return text[:at], True
        held = next(
            (size for size in range(min(len(self._keys) - 1, len(text)), 0, -1) if text.endswith(self._keys[:size])), 0
        )
        self._held = text[len(text) - held :] if held else b""
        return text[: len(text) - held], False
