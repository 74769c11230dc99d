"""TLS whose two directions end each for itself.

Docker's clients say "that was all of my input" by ending their direction of a connection that they go on reading, over TLS by its
close_notify (RFC 8446, 6.1). The event loop's own TLS ends both then, and what a container still has to say would be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

_PIECE = 64 * 1024
_HANDSHAKE_SECONDS = 60.0


class HalfCloseTls(asyncio.Protocol):
    """The server's side of one connection. `factory` makes who is behind it, once the handshake is done."""

    def __init__(self, context: ssl.SSLContext, factory: Callable[[], asyncio.Protocol]) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._factory = factory
        self.inner: asyncio.Protocol | None = None
        self.raw: asyncio.Transport
        self._ended = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.raw = cast(asyncio.Transport, transport)
        self._patience = asyncio.get_running_loop().call_later(_HANDSHAKE_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        if self.inner is None:
            self.raw.abort()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if self.inner is None:
                self.tls.do_handshake()
                self.inner = self._factory()
                self.inner.connection_made(_Transport(self))
            self._read()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            # An alert that says why may be on its way out.
            self.flush()
            self.raw.close()
        self.flush()

    def _read(self) -> None:
        while not self._ended and self.inner is not None and not self.raw.is_closing():
            try:
                piece = self.tls.read(_PIECE)
            except ssl.SSLZeroReturnError:
                piece = b""
            if piece:
                self.inner.data_received(piece)
            else:
                self._end()

    def _end(self) -> None:
        """Nothing more comes from there; what is behind us says whether it has more to say itself."""
        self._ended = True
        if self.inner is not None and not self.inner.eof_received():
            self.close()

    def eof_received(self) -> bool:
        """The connection itself has ended, and TLS with it."""
        if not self._ended:
            self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self.inner is not None:
            self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self.inner is not None:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self.inner is not None:
            self.inner.resume_writing()

    def send(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self.raw.is_closing():
            self.tls.write(data)
            self.flush()

    def flush(self) -> None:
        if self._outgoing.pending and not self.raw.is_closing():
            self.raw.write(self._outgoing.read())

    def close(self) -> None:
        """Say that this was all, and end the connection when that has gone out."""
        if self.raw.is_closing():
            return
        # It waits for the same from the other side, which we do not.
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        self.flush()
        self.raw.close()


class _Transport(asyncio.Transport):
    """What the protocol behind the TLS talks to."""

    def __init__(self, outer: HalfCloseTls) -> None:
        super().__init__()
        self._outer = outer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sslcontext` is left out: by it streams would tell that there is no half of this connection."""
        if name == "peercert":
            return self._outer.tls.getpeercert()
        if name == "sslcontext":
            return default
        return self._outer.raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._outer.inner = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._outer.inner is not None
        return self._outer.inner

    def is_closing(self) -> bool:
        return self._outer.raw.is_closing()

    def close(self) -> None:
        self._outer.close()

    def abort(self) -> None:
        self._outer.raw.abort()

    def is_reading(self) -> bool:
        return self._outer.raw.is_reading()

    def pause_reading(self) -> None:
        self._outer.raw.pause_reading()

    def resume_reading(self) -> None:
        self._outer.raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._outer.raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._outer.raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._outer.raw.get_write_buffer_limits()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._outer.send(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._outer.send(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False
