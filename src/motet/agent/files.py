"""Files of a running container as a tar archive, out of it and into it.

A process of its own does it, whose root directory becomes the container's (`fileroot`): whatever links there are in it, none
leads outside.
Before that it has loaded all it needs, and can load nothing more, for what lies in a container is not to be run on the node.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import IO

from aiohttp import web

from motet.agent.fileroot import Doors
from motet.base.errors import BadRequest, Conflict, InternalError, NotFound

_PIECE = 64 * 1024
_LONGEST_HEAD = 64 * 1024
_ERRORS = {"missing": NotFound, "bad": BadRequest, "conflict": Conflict}


class _Child:
    """The process, and our ends of its pipes.

    It is not made by the event loop, which forks: a process that talks gRPC must not (its threads are not in the child). What
    Python itself starts here is begun without a fork.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: asyncio.StreamReader) -> None:
        self.process = process
        self.output = output

    @classmethod
    async def begin(cls, doors: Doors, words: list[str]) -> _Child:
        """Raises OSError."""
        command = [sys.executable, "-I", "-m", "motet.agent.filework", str(doors.namespace), str(doors.root), *words]
        process = await asyncio.to_thread(
            subprocess.Popen,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=(doors.namespace, doors.root),
        )
        assert process.stdout is not None
        reader = asyncio.StreamReader(limit=_LONGEST_HEAD)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
        return cls(process, reader)

    async def feed(self, pieces: AsyncIterator[bytes]) -> None:
        """A child that has found something wrong reads no further; its answer says what."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            async for piece in pieces:
                await asyncio.to_thread(_write_all, self.process.stdin, piece)
        self.process.stdin.close()

    async def end(self) -> int:
        """Its exit code; it is killed if it has not ended."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            if self.output.at_eof():
                return await asyncio.to_thread(self.process.wait)
            self.process.kill()
        return await asyncio.to_thread(self.process.wait)


def _write_all(pipe: IO[bytes], data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[pipe.write(left) :]


async def serve(request: web.BaseRequest, doors: Doors) -> web.StreamResponse:
    """GET: an archive of `path`, with `stat` what it is, as JSON; PUT: the archive in the body goes into the directory `path`.

    `doors` are of the container, and stay the caller's.

    Raises ApiError before the first byte of an answer.
    """
    path = request.query.get("path", "")
    if not path or "\0" in path:
        raise BadRequest("path is needed")
    verb = "write" if request.method == "PUT" else "stat" if _flag(request.query.get("stat", "")) else "read"
    options = [name for name in ("noOverwriteDirNonDir", "copyUIDGID") if _flag(request.query.get(name, ""))]
    child = await _Child.begin(doors, [verb, path, *options])
    try:
        if verb == "write":
            await child.feed(request.content.iter_chunked(_PIECE))
        return await _answer(request, child, verb)
    finally:
        await asyncio.shield(child.end())


def _flag(text: str) -> bool:
    return text.lower() in ("1", "true")


async def _answer(request: web.BaseRequest, child: _Child, verb: str) -> web.StreamResponse:
    head = (await child.output.readline()).decode(errors="replace").rstrip("\n")
    word, _, rest = head.partition(" ")
    if word in _ERRORS:
        raise _ERRORS[word](rest)
    if word != "ok":
        raise InternalError("the process that was to look into the container has failed")
    if verb != "read":
        return web.Response(text=rest, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    while piece := await child.output.read(_PIECE):
        await response.write(piece)
    if await child.end() != 0:
        # The head is gone already: only breaking off says that this is not all.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
