"""The file the audit log is written to: lines of JSON, set aside when it is large, never in the way of a request.

Lines are gathered and written by a thread a tenth of a second later. Should the disk not keep up, lines are dropped and counted
rather than requests held up.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from motet.base.clock import Clock

log = logging.getLogger(__name__)

_EVERY = 0.1


class AuditLog:
    """`path` is readable by its owner only; `kept` older files of `largest` bytes stay beside it."""

    def __init__(
        self, path: Path, clock: Clock, *, largest: int = 100 << 20, kept: int = 10, waiting: int = 32 << 20
    ) -> None:
        self._path = path
        self._clock = clock
        self._largest = largest
        self._kept = kept
        self._most = waiting
        self._lines: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()
        self.dropped = 0

    def write(self, line: bytes) -> None:
        """One event, without its end of line."""
        if self._size + len(line) > self._most:
            self.dropped += 1
            return
        self._lines.append(line)
        self._size += len(line) + 1
        self._news.set()

    async def run(self) -> None:
        """Write what has been gathered until cancelled."""
        while True:
            await self._news.wait()
            await self._clock.sleep(_EVERY)
            self._news.clear()
            await asyncio.to_thread(self._append, self._gathered())

    def flush(self) -> None:
        """Write what is left, at the end."""
        if self._lines:
            self._append(self._gathered())

    def _gathered(self) -> bytes:
        lines, self._lines, self._size = self._lines, [], 0
        return b"\n".join(lines) + b"\n" if lines else b""

    def _append(self, data: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(data)
                size = file.tell()
            if size > self._largest:
                self._set_aside()
        except OSError as error:
            self.dropped += data.count(b"\n")
            log.error("the audit log %s cannot be written: %s", self._path, error)

    def _set_aside(self) -> None:
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S.%f")
        self._path.rename(self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}"))
        older = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))
        for path in older[: -self._kept or None]:
            path.unlink(missing_ok=True)
