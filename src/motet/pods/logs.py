"""Container logs: reading the runtime's files back, and rotating them.

A line is `TIME STREAM TAG CONTENT`, TAG `F` ending a line of the container's and `P` a part of one (CRI's log format). The
file in use is `ATTEMPT.log`; rotated ones beside it carry the time of their rotation, so that their names sort by age.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from motet.base.clock import Clock
from motet.base.errors import MotetError
from motet.base.timestamps import parse_time

_CHUNK = 64 * 1024
# How often a followed file is looked at, in seconds.
_LOOK_EVERY = 0.15
ROTATE_AT = 10 * 1024 * 1024
KEPT_FILES = 5


class LogsGone(MotetError):
    """There is no log file for this container (any more)."""


class Entry(NamedTuple):
    """One line of a log file. `content` has no line end; `partial` says that more of the same line follows."""

    time: str
    stream: str
    partial: bool
    content: bytes


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What of a log is wanted (core/v1 PodLogOptions). `stream` is empty for both.

    `named`: each line says first which stream it is of, for those who want to tell both apart in one log.
    """

    follow: bool = False
    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = ""
    named: bool = False


def parse(line: bytes) -> Entry | None:
    """One line of a log file without its line end, or None when it is not one."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    content = parts[3] if len(parts) == 4 else b""
    tag = parts[2].split(b":")[0]
    return Entry(parts[0].decode(errors="replace"), parts[1].decode(), tag == b"P", content)


def files(path: str) -> list[Path]:
    """Every file of this log that is still there, oldest first."""
    current = Path(path)
    rotated = sorted(current.parent.glob(current.name + ".*")) if current.parent.is_dir() else []
    return [file for file in rotated if file.suffix != ".tmp"] + ([current] if current.exists() else [])


class _Output:
    """Turns entries into what the client asked for."""

    def __init__(self, query: LogQuery) -> None:
        self._query = query
        self._left = query.limit_bytes
        self._line_start = True
        self.full = query.limit_bytes is not None and query.limit_bytes <= 0

    def render(self, line: bytes) -> bytes:
        """The bytes for one line of a file; empty when it was not asked for."""
        entry = parse(line)
        query = self._query
        if entry is None or self.full or (query.stream and entry.stream != query.stream):
            return b""
        if query.since is not None and parse_time(entry.time) < query.since:
            return b""
        marks = [entry.time] if query.timestamps else []
        marks += [entry.stream] if query.named else []
        stamp = "".join(f"{mark} " for mark in marks).encode() if self._line_start else b""
        self._line_start = not entry.partial
        text = stamp + entry.content + (b"" if entry.partial else b"\n")
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
            self.full = self._left <= 0
        return text


async def read(
    path: str, query: LogQuery, clock: Clock, still_written: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """The log at `path` in pieces. With `follow` it ends when `still_written` says no and all was read.

    Raises LogsGone when there is no file.
    """
    found = files(path)
    if not found:
        raise LogsGone(f"no log file at {path}")
    output = _Output(query)
    start = 0
    if query.tail is not None:
        found, start = _tail_from(found, query.tail)
    for file in found[:-1]:
        with file.open("rb") as opened:
            opened.seek(start)
            start = 0
            while chunk := _lines(opened):
                if text := b"".join(map(output.render, chunk)):
                    yield text
                if output.full:
                    return
                await clock.sleep(0)
    async for text in _current(found[-1] if found else Path(path), start, output, query, clock, still_written):
        yield text


async def _current(
    path: Path, start: int, output: _Output, query: LogQuery, clock: Clock, still_written: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """The file in use, and with `follow` whatever takes its place."""
    opened: BinaryIO = path.open("rb")
    try:
        opened.seek(start)
        ending = False
        while not output.full:
            if chunk := _lines(opened):
                if text := b"".join(map(output.render, chunk)):
                    yield text
                continue
            if not query.follow:
                return
            if (replacement := _replaced(opened, path)) is not None:
                opened.close()
                opened = replacement
                continue
            if ending:
                return
            # Once more after the writer has ended: it may have written in between.
            ending = not await still_written()
            if not ending:
                await clock.sleep(_LOOK_EVERY)
    finally:
        opened.close()


def _replaced(opened: BinaryIO, path: Path) -> BinaryIO | None:
    try:
        now = path.stat()
    except FileNotFoundError:
        return None
    before = os.fstat(opened.fileno())
    return path.open("rb") if (now.st_ino, now.st_dev) != (before.st_ino, before.st_dev) else None


def _lines(opened: BinaryIO) -> list[bytes]:
    """The next whole lines, without their ends; leaves an unfinished one for later."""
    at = opened.tell()
    data = opened.read(_CHUNK)
    end = data.rfind(b"\n")
    while data and end < 0 and len(data) % _CHUNK == 0:
        more = opened.read(_CHUNK)
        if not more:
            break
        data += more
        end = data.rfind(b"\n")
    opened.seek(at + end + 1)
    return data[:end].split(b"\n") if end >= 0 else []


def _tail_from(found: list[Path], lines: int) -> tuple[list[Path], int]:
    """Which files, and where in the first, hold the last `lines` lines."""
    missing = lines
    for index in range(len(found) - 1, -1, -1):
        offset, counted = _offset_of_last(found[index], missing)
        missing -= counted
        if missing <= 0 or index == 0:
            return found[index:], offset
    return found, 0


def _offset_of_last(path: Path, lines: int) -> tuple[int, int]:
    """(offset of the last `lines` whole lines, how many lines that is)."""
    with path.open("rb") as opened:
        end = opened.seek(0, os.SEEK_END)
        if lines <= 0:
            return end, 0
        counted, position = 0, end
        while position > 0:
            size = min(_CHUNK, position)
            position -= size
            opened.seek(position)
            data = opened.read(size)
            at = len(data)
            while (at := data.rfind(b"\n", 0, at)) >= 0:
                counted += 1
                if counted > lines:
                    return position + at + 1, lines
        return 0, counted


def tail(path: str, lines: int, limit: int) -> list[bytes]:
    """The container's own last lines, at most `lines` and about `limit` bytes; nothing when there is no file."""
    output = _Output(LogQuery())
    kept: list[bytes] = []
    size = 0
    for line in _backwards(path, lines):
        text = output.render(line)
        size += len(text)
        kept.append(text)
        if size >= limit:
            break
    return kept[::-1]


def _backwards(path: str, lines: int) -> Iterator[bytes]:
    found, offset = _tail_from(files(path), lines) if files(path) else ([], 0)
    collected: list[bytes] = []
    for index, file in enumerate(found):
        with file.open("rb") as opened:
            opened.seek(offset if index == 0 else 0)
            collected += opened.read().splitlines()
    return reversed(collected[-lines:])


def needs_rotation(path: str, largest: int = ROTATE_AT) -> bool:
    """Whether the file in use has grown past `largest` bytes."""
    try:
        return Path(path).stat().st_size >= largest
    except FileNotFoundError:
        return False


def set_aside(path: str, now: datetime, keep: int = KEPT_FILES) -> None:
    """Rename the file in use and drop the oldest, so that at most `keep` are left with the one to come.

    The runtime must be told to reopen its log right after.
    """
    current = Path(path)
    current.rename(current.with_name(f"{current.name}.{now:%Y%m%d-%H%M%S-%f}"))
    rotated = [file for file in files(path) if file != current]
    for old in rotated[: max(0, len(rotated) - (keep - 1))]:
        old.unlink(missing_ok=True)


def remove(path: str) -> None:
    """Forget a container's log, rotated files included."""
    for file in files(path):
        file.unlink(missing_ok=True)
