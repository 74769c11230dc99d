"""The two ends of a byte pipe, as asyncio protocols: each pauses the other's reading while its own buffer is full."""

from __future__ import annotations

import asyncio
from typing import cast

from motet.api.http.agents import parse_head

_MAX_HEAD = 64 * 1024
_MAX_BODY = 1024 * 1024


class _End(asyncio.Protocol):
    """One side. `peer` is set once bytes may flow."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def forward(self, data: bytes) -> None:
        """Send on this side."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None and not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def finish(self) -> None:
        """Close after what is buffered has been sent."""
        if self.transport is not None:
            self.transport.close()


class AgentEnd(_End):
    """The side of the agent: first collects the head of its answer, then passes bytes on."""

    def __init__(self) -> None:
        super().__init__()
        self._early = bytearray()
        self._news = asyncio.Event()
        self._lost = False
        self.raw_head = b""

    def write(self, data: bytes) -> None:
        self.forward(data)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.forward(data)
            return
        self._early += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._lost = True
        self._news.set()
        if self.peer is not None:
            self.peer.finish()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and the bytes after the head. Raises ConnectionError, ValueError."""
        while b"\r\n\r\n" not in self._early:
            if self._lost:
                raise ConnectionError("the connection was closed before an answer came")
            if len(self._early) > _MAX_HEAD:
                raise ValueError("the head of the answer is too long")
            await self._more()
        head, _, rest = bytes(self._early).partition(b"\r\n\r\n")
        self.raw_head = head + b"\r\n\r\n"
        self._early.clear()
        status, headers = parse_head(self.raw_head)
        return status, headers, rest

    async def body(self, headers: dict[str, str], rest: bytes) -> bytes:
        """The body of a refusal: `Content-Length` bytes, or one in chunks, or all until the end."""
        self._early += rest
        length = headers.get("content-length")
        chunked = "chunked" in headers.get("transfer-encoding", "")
        wanted = int(length) if length and length.isdigit() else _MAX_BODY
        while not self._lost and len(self._early) < min(wanted, _MAX_BODY):
            if chunked and self._early.endswith(b"0\r\n\r\n"):
                break
            await self._more()
        data = bytes(self._early)
        return _unchunked(data) if chunked else data[:wanted]

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()

    def splice(self, peer: _End) -> None:
        """From now on pass everything to `peer`, beginning with what came in between."""
        self.peer = peer
        if self._early:
            peer.forward(bytes(self._early))
            self._early.clear()
        if self._lost:
            peer.finish()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort() if self.peer is None else self.transport.close()


class ClientEnd(_End):
    """The side of the client, on a connection taken over from the HTTP server. `ended` is done when it is closed."""

    def __init__(self, transport: asyncio.Transport, agent: AgentEnd) -> None:
        super().__init__()
        self.transport = transport
        self.peer = agent
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.forward(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.peer is not None:
            self.peer.finish()
        if not self.ended.done():
            self.ended.set_result(None)


def _unchunked(data: bytes) -> bytes:
    parts = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            break
        if length == 0:
            break
        parts.append(rest[:length])
        data = rest[length + 2 :]
    return b"".join(parts)
