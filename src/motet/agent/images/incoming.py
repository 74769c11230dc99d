"""Where bodies of requests lie while they are worked on. Whatever an agent left there when it was killed goes at its next start."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web


class Incoming:
    """A folder of the agent's own, on the disk that has its data."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        shutil.rmtree(directory, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """A new folder for as long as the block lasts. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._directory))
        try:
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


async def receive(request: web.BaseRequest, path: Path) -> None:
    """Write a request's body to a file. Raises OSError."""
    with path.open("xb") as file:
        async for piece in request.content.iter_any():
            await asyncio.to_thread(file.write, piece)
