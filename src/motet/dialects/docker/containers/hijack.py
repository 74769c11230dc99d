"""Connections that stop being HTTP: attach and exec (Engine API, "Attach to a container").

After our head the client sends what goes to the process as it is, and gets what comes from there: as it is when there is a
terminal, else in frames of a byte for the stream, three of zeros, four for the length.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from motet.dialects.docker.call import Call

STDIN, STDOUT, STDERR = 0, 1, 2
RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
_PIECE = 32 * 1024


def frame(stream: int, data: bytes) -> bytes:
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


class Connection:
    """The client's, taken away from the HTTP server. `terminal`: no frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, terminal: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._terminal = terminal

    async def write(self, stream: int, data: bytes) -> None:
        """Raises ConnectionError when the client has left."""
        self._writer.write(data if self._terminal else frame(stream, data))
        await self._writer.drain()

    async def input(self) -> AsyncIterator[bytes]:
        """What the client sends until it says that this was all."""
        with contextlib.suppress(ConnectionError):
            while piece := await self._reader.read(_PIECE):
                yield piece

    async def close(self) -> None:
        """After what was written has gone out."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._writer.close()
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def taken_over(call: Call, *, terminal: bool) -> AsyncIterator[Connection]:
    """Answer with a head, and have the client's connection for as long as the block lasts."""
    request = call.request
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    # aiohttp lost its transport when we took it; tell it so at the end, or the connection stays on its books.
    server = request.protocol
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    with contextlib.suppress(RuntimeError):
        transport.resume_reading()
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    content = RAW if terminal or call.version < (1, 42) else MULTIPLEXED
    if "upgrade" in request.headers.get("Connection", "").lower():
        head = f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {content}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    else:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content}\r\n\r\n"
    writer.write(head.encode())
    connection = Connection(reader, writer, terminal=terminal)
    try:
        yield connection
    finally:
        await connection.close()
        server.connection_lost(None)


def gone() -> web.Response:
    """What a handler returns whose connection has been taken over and is closed."""
    return web.Response(status=101)
