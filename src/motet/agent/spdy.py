"""Enough of SPDY/3.1 to be a client of a container runtime's streaming server.

Streams are opened with a `streamtype` header, data flows both ways, an end of ours is told with FIN, pings are answered.
Headers of replies are never read, and flow control is not part of the dialect these servers speak (moby/spdystream), so
neither is here. Source: the SPDY protocol draft 3.1; the streaming protocol of the kubelet (remotecommand v4).
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from motet.base.errors import MotetError

_CONTROL = 0x80000000
_VERSION = 3
_SYN_STREAM, _RST_STREAM, _PING, _GOAWAY = 1, 3, 6, 7
_FIN = 1
_LARGEST_DATA = 32 * 1024


class SpdyError(MotetError):
    """The other side broke off or does not speak SPDY."""


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes that arrived on a stream; `end` when nothing more will come on it."""

    stream_id: int
    payload: bytes
    end: bool


class SpdyClient:
    """One session over an already upgraded connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next_id = 1
        self._compress = zlib.compressobj()

    def open(self, headers: Mapping[str, str]) -> int:
        """Open a stream; returns its id."""
        stream_id = self._next_id
        self._next_id += 2
        body = struct.pack(">IIBB", stream_id, 0, 0, 0) + self._block(headers)
        self._writer.write(_control(_SYN_STREAM, body))
        return stream_id

    def _block(self, headers: Mapping[str, str]) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for pair in headers.items():
            for text in pair:
                encoded = text.encode()
                parts.append(struct.pack(">I", len(encoded)) + encoded)
        return self._compress.compress(b"".join(parts)) + self._compress.flush(zlib.Z_SYNC_FLUSH)

    async def send(self, stream_id: int, payload: bytes, *, end: bool = False) -> None:
        """Send bytes, and with `end` that no more will follow; waits while the connection is full."""
        pieces = [payload[at : at + _LARGEST_DATA] for at in range(0, len(payload), _LARGEST_DATA)] or [b""]
        for index, piece in enumerate(pieces):
            last = end and index == len(pieces) - 1
            if piece or last:
                flags = _FIN if last else 0
                self._writer.write(struct.pack(">II", stream_id, flags << 24 | len(piece)) + piece)
        await self._writer.drain()

    async def receive(self) -> AsyncIterator[Data]:
        """What arrives, until the connection ends. Raises SpdyError when it is not SPDY."""
        while True:
            try:
                first, second = struct.unpack(">II", await self._reader.readexactly(8))
                body = await self._reader.readexactly(second & 0xFFFFFF)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if not first & _CONTROL:
                yield Data(first, body, bool(second >> 24 & _FIN))
                continue
            if first >> 16 & 0x7FFF != _VERSION:
                raise SpdyError(f"frame of version {first >> 16 & 0x7FFF} is not SPDY/3")
            kind = first & 0xFFFF
            if kind == _PING:
                self._writer.write(_control(_PING, body))
            elif kind == _RST_STREAM:
                yield Data(struct.unpack(">I", body[:4])[0], b"", True)
            elif kind == _GOAWAY:
                return

    def close(self) -> None:
        self._writer.close()


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", _CONTROL | _VERSION << 16 | kind, len(body)) + body
