"""What goes over the kernel's exec and attach: v5.channel.k8s.io, a byte that names the channel and then its data. Pure."""

from __future__ import annotations

import re

import msgspec

from motet.dialects.docker.errors import bad

NAME = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

# As shells and Docker have it: found but not to be run, and not found.
_CANNOT_RUN, _NOT_FOUND = 126, 127
_DETACH = "ctrl-p,ctrl-q"


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: tuple[_Cause, ...] | None = None


class _Status(msgspec.Struct, frozen=True):
    status: str = ""
    message: str = ""
    details: _Details | None = None


def frame(channel: int, data: bytes) -> bytes:
    return bytes((channel,)) + data


def end_of_input() -> bytes:
    return frame(CLOSE, bytes((STDIN,)))


def resized(columns: int, rows: int) -> bytes:
    return frame(RESIZE, msgspec.json.encode({"Width": columns, "Height": rows}))


def outcome(status: bytes) -> tuple[int, str]:
    """Exit code and complaint of the status on the error channel (meta/v1 Status)."""
    try:
        told = msgspec.json.decode(status, type=_Status)
    except msgspec.MsgspecError:
        return _CANNOT_RUN, "the node's answer cannot be read"
    if told.status == "Success":
        return 0, ""
    for cause in (told.details.causes if told.details else None) or ():
        if cause.reason == "ExitCode" and cause.message.isdecimal():
            return int(cause.message), ""
    missing = any(words in told.message for words in ("executable file not found", "no such file or directory"))
    return _NOT_FOUND if missing else _CANNOT_RUN, told.message or "the process could not be run"


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


def before(log: bytes, live: bytes) -> bytes:
    """A log without what its end has in common with the beginning of what came over a connection meanwhile."""
    for size in range(min(len(log), len(live)), 0, -1):
        if log.endswith(live[:size]):
            return log[:-size]
    return log
