"""A process behind the kernel's exec or attach, and a client of Docker's: bytes both ways until the process has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import ClientWebSocketResponse, WSMsgType

from motet.client import channels
from motet.dialects.docker.call import Call
from motet.dialects.docker.containers.hijack import Connection
from motet.dialects.docker.containers.keys import Keys
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.errors import DockerError
from motet.kinds import pod as pod_kind


class Detached(Exception):
    """The client typed the keys by which it leaves the process alone."""


class Process:
    """One that runs: `verb` is exec or attach."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket

    @classmethod
    async def open(
        cls,
        call: Call,
        container: Container,
        verb: str,
        command: Sequence[str] = (),
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        tty: bool,
    ) -> Process:
        """Raises ApiError, DockerError 409 when the container does not run."""
        if container.pod is None or not container.runs:
            raise DockerError(409, f"container {container.id} is not running")
        query = channels.parameters(command, container.part, stdin=stdin, tty=tty, stdout=stdout, stderr=stderr)
        path = pod_kind.KIND.path(container.pod.namespace, container.pod.name, verb)
        return cls(await call.client.websocket(path, query, (channels.NAME,)))

    async def resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_bytes(channels.resized(columns, rows))

    async def feed(self, connection: Connection, keys: bytes = b"") -> None:
        """Everything the client says. Raises Detached when it said `keys`."""
        detector = Keys(keys)
        with contextlib.suppress(ConnectionError):
            async for piece in connection.input():
                passed, left = detector.see(piece)
                if passed:
                    await self._socket.send_bytes(channels.frame(channels.STDIN, passed))
                if left:
                    raise Detached
            await self._socket.send_bytes(channels.end_of_input())

    async def output(self, write: Callable[[int, bytes], Awaitable[None]]) -> tuple[int, str]:
        """Pass on what it says until it has ended: (exit code, complaint). Raises ConnectionError."""
        async for message in self._socket:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel in (channels.STDOUT, channels.STDERR) and data:
                await write(channel, data)
            elif channel == channels.ERROR and data:
                return channels.outcome(data)
        return 0, ""

    async def close(self) -> None:
        await self._socket.close()


async def both(feeding: Awaitable[None] | None, output: Awaitable[tuple[int, str]]) -> tuple[int, str]:
    """Until the process has said everything. Raises Detached, and ConnectionError when the client has left."""
    told = asyncio.ensure_future(output)
    fed = asyncio.ensure_future(feeding) if feeding is not None else None
    try:
        if fed is not None:
            done, _ = await asyncio.wait((told, fed), return_when=asyncio.FIRST_COMPLETED)
            if fed in done:
                fed.result()
        return await told
    finally:
        for each in (told, fed):
            if each is not None:
                each.cancel()
        await asyncio.gather(*(each for each in (told, fed) if each is not None), return_exceptions=True)
