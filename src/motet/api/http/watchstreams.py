"""The two ways in which the events of a watch travel: in the chunks of an HTTP answer, or as messages of a WebSocket.

Both write past aiohttp's writers: an idle watch then costs a connection and little more, and what was framed once goes to any
number of watchers.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence

from aiohttp import web

from motet.api.http import socketbearer

# Seconds a client may leave a full buffer unread before it is cut.
_STALLED_AFTER = 30.0
# Bytes that may wait for a client before it is cut.
MOST_UNREAD = 16 * 1024 * 1024
# Final text frame; the codes of a payload's length that is told in 2 and in 8 bytes (RFC 6455, 5.2).
_TEXT, _TWO_BYTES, _EIGHT_BYTES = 0x81, 126, 127


class Stream:
    """What both have in common. Not used itself."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request

    @staticmethod
    def frame(lines: Sequence[bytes]) -> bytes:
        """Lines of JSON, one for each event, as they travel."""
        raise NotImplementedError

    @property
    def response(self) -> web.StreamResponse:
        raise NotImplementedError

    async def open(self) -> None:
        """Begin the answer; what is wrong can only be told as an event from then on."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the answer in good order."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of whatever listens to the client; to be called last, however the watch ended."""

    @property
    def opened(self) -> bool:
        return self.response.prepared

    @property
    def is_open(self) -> bool:
        transport = self._request.transport
        return transport is not None and not transport.is_closing()

    async def send(self, *lines: bytes) -> None:
        await self.send_framed(self.frame(lines))

    async def send_framed(self, chunk: bytes) -> None:
        """Write, and wait while the client's buffer is full; a client that does not read for long is cut."""
        self.write_now(chunk)
        if not self.is_open or not self._request.protocol.writing_paused:
            return
        try:
            async with asyncio.timeout(_STALLED_AFTER):
                await self._request.writer.drain()
        except TimeoutError:
            self.abort()

    def write_now(self, chunk: bytes) -> None:
        transport = self._request.transport
        if transport is not None and not transport.is_closing():
            transport.write(chunk)

    def cut_if_slow(self) -> None:
        """Cut the connection when the client has left too much unread."""
        transport = self._request.transport
        if transport is not None and transport.get_write_buffer_size() > MOST_UNREAD:
            self.abort()

    def abort(self) -> None:
        """Cut the connection, unsent data and all."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()


class HttpStream(Stream):
    """A chunked answer."""

    def __init__(self, request: web.BaseRequest, content_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(request)
        self._response = web.StreamResponse(
            headers={"Content-Type": content_type, "Cache-Control": "no-cache, private", **headers}
        )

    @staticmethod
    def frame(lines: Sequence[bytes]) -> bytes:
        """One chunk (RFC 9112, 7.1)."""
        data = lines[0] if len(lines) == 1 else b"".join(lines)
        return b"%x\r\n%b\r\n" % (len(data), data)

    @property
    def response(self) -> web.StreamResponse:
        return self._response

    async def open(self) -> None:
        self._response.enable_chunked_encoding()
        await self._response.prepare(self._request)

    async def close(self) -> None:
        if self.is_open:
            await self._response.write_eof()


class SocketStream(Stream):
    """A WebSocket: what the clients of Java ask for first. Whatever the client says but its good-bye is passed over."""

    def __init__(self, request: web.BaseRequest) -> None:
        super().__init__(request)
        # A browser wants one of those it offers chosen; here they all mean the same.
        protocols = socketbearer.offered(request.headers.getall(socketbearer.HEADER, ()))
        # Frames are written as they are, so nothing may be compressed.
        self._socket = web.WebSocketResponse(protocols=protocols, compress=False, heartbeat=30.0)
        self._listening: asyncio.Task[None] | None = None

    @staticmethod
    def frame(lines: Sequence[bytes]) -> bytes:
        """A text message for each line."""
        parts = []
        for line in lines:
            size = len(line)
            if size < _TWO_BYTES:
                parts.append(struct.pack("!BB", _TEXT, size))
            elif size < 2**16:
                parts.append(struct.pack("!BBH", _TEXT, _TWO_BYTES, size))
            else:
                parts.append(struct.pack("!BBQ", _TEXT, _EIGHT_BYTES, size))
            parts.append(line)
        return b"".join(parts)

    @property
    def response(self) -> web.StreamResponse:
        return self._socket

    async def open(self) -> None:
        await self._socket.prepare(self._request)
        self._listening = asyncio.create_task(self._listen(), name="a watch's WebSocket")

    async def _listen(self) -> None:
        """Answer pings; when the client says good-bye, so does the connection, which ends the watch."""
        async for _ in self._socket:
            pass
        transport = self._request.transport
        if transport is not None:
            transport.close()

    async def close(self) -> None:
        self.release()
        if self.is_open:
            await self._socket.close()

    def release(self) -> None:
        if self._listening is not None:
            self._listening.cancel()


def stream(request: web.BaseRequest, content_type: str, headers: Mapping[str, str]) -> HttpStream | SocketStream:
    """The way that the request asks for. `headers` are for those who can see them."""
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return SocketStream(request)
    return HttpStream(request, content_type, headers)
