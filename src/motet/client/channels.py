"""The WebSocket protocol of exec and attach, v5.channel.k8s.io: a byte that names the channel, then its data. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

NAME = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

# As shells have it: found but not to be run, and not found.
CANNOT_RUN, NOT_FOUND = 126, 127


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: tuple[_Cause, ...] | None = None


class _Status(msgspec.Struct, frozen=True):
    status: str = ""
    reason: str = ""
    message: str = ""
    details: _Details | None = None


def frame(channel: int, data: bytes = b"") -> bytes:
    """One message."""
    return bytes((channel,)) + data


def end_of_input() -> bytes:
    """Tells the process that its standard input has ended."""
    return frame(CLOSE, bytes((STDIN,)))


def resized(columns: int, rows: int) -> bytes:
    """Tells the process how large its terminal is now."""
    return frame(RESIZE, msgspec.json.encode({"Width": columns, "Height": rows}))


def outcome(status: bytes) -> tuple[int, str]:
    """Exit code and complaint of the status that comes last (`metav1.Status` on the error channel)."""
    try:
        told = msgspec.json.decode(status, type=_Status)
    except msgspec.MsgspecError:
        return 1, f"unreadable answer: {status[:200]!r}"
    if told.status == "Success":
        return 0, ""
    for cause in (told.details.causes if told.details else None) or ():
        if cause.reason == "ExitCode" and cause.message.isdecimal():
            return int(cause.message), ""
    missing = any(words in told.message for words in ("executable file not found", "no such file or directory"))
    return NOT_FOUND if missing else CANNOT_RUN, told.message or told.reason or "the process could not be run"


def parameters(
    command: Sequence[str], container: str, *, stdin: bool, tty: bool, stdout: bool = True, stderr: bool = True
) -> list[tuple[str, str]]:
    """The query of an exec or attach. With a terminal there is no standard error of its own."""
    query: list[tuple[str, Any]] = [("command", word) for word in command]
    flags = {"stdin": stdin, "stdout": stdout, "stderr": stderr and not tty, "tty": tty}
    query += [(name, "true" if value else "false") for name, value in flags.items()]
    return [*query, ("container", container)] if container else query
