"""exec, attach and port-forward: from a client's connection to the runtime's streaming server.

Three ways, by what the client speaks:

* SPDY, or WebSocket in a dialect that the runtime speaks itself (v4.channel.k8s.io): a byte pipe, the handshake included;
* WebSocket `v5.channel.k8s.io`: each message is carried to a SPDY stream of the runtime and back;
* WebSocket `SPDY/3.1+portforward.k8s.io`: binary messages are the bytes of a SPDY connection, unwrapped and wrapped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from motet.agent.spdy import SpdyClient
from motet.base.errors import Unavailable

_log = logging.getLogger("motet.agent.streams")

V5 = "v5.channel.k8s.io"
V4_SPDY = "v4.channel.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
PORT_FORWARD = "portforward.k8s.io"
_CHUNK = 64 * 1024
_DIAL_SECONDS = 10.0
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
# Channels of the WebSocket dialects, and v5's message that closes one.
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[str, int], Awaitable[Connection]]


async def dial(host: str, port: int) -> Connection:
    """Connect to the runtime's streaming server, which listens on this machine's loopback."""
    return await asyncio.open_connection(host, port)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams of a process the client asked for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    def channels(self) -> list[tuple[int, str]]:
        """(WebSocket channel, SPDY stream type), in the order in which the runtime expects them."""
        named = [(_ERROR, "error", True), (_STDIN, "stdin", self.stdin), (_STDOUT, "stdout", self.stdout)]
        named += [(_STDERR, "stderr", self.stderr and not self.tty), (_RESIZE, "resize", self.tty)]
        return [(channel, name) for channel, name, there in named if there]


def offered(request: web.BaseRequest) -> list[str]:
    """The WebSocket sub-protocols a client offers; empty when it does not want a WebSocket."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return []
    values = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


# --- a byte pipe ------------------------------------------------------------------------------------------------------


class _Pipe(asyncio.Protocol):
    """The client's side of a connection that has been taken away from the HTTP server."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._relief: asyncio.Task[None] | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._writer.write(data)
        if self._transport is not None and self._writer.transport.get_write_buffer_size() > _CHUNK and not self._relief:
            self._transport.pause_reading()
            self._relief = asyncio.get_running_loop().create_task(self._resume())

    async def _resume(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        self._relief = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def writable(self) -> None:
        await self._writable.wait()


async def pipe(request: web.BaseRequest, url: str, dialer: Dial = dial) -> web.StreamResponse:
    """Hand the client's connection to the runtime's streaming server: its own handshake, then bytes both ways."""
    target = urlsplit(url)
    reader, writer = await dialer(target.hostname or "", target.port or 80)
    writer.write(_handshake(request, url))
    return await _take_over(request, reader, writer)


async def tunnel_to(
    request: web.BaseRequest, host: str, port: int, *, encrypted: bool, dialer: Dial = dial
) -> web.StreamResponse:
    """Connect the client with a port, over TLS if asked (whatever certificate is shown). Raises Unavailable.

    The client's `Upgrade: tcp` is answered with 101; from there on it is bytes.
    """
    try:
        async with asyncio.timeout(_DIAL_SECONDS):
            reader, writer = await dialer(host, port)
            if encrypted:
                await writer.start_tls(_trusting(), server_hostname=host)
    except TimeoutError:
        raise Unavailable(f"dial tcp {host}:{port}: i/o timeout") from None
    except OSError as error:
        raise Unavailable(f"dial tcp {host}:{port}: {error.strerror or error}") from error
    return await _take_over(request, reader, writer, _SWITCHED)


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _take_over(
    request: web.BaseRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes = b""
) -> web.StreamResponse:
    """Take the client's connection away from the HTTP server, say `first`, then pass bytes both ways until the end."""
    transport = request.transport
    if transport is None:
        writer.close()
        raise Unavailable("the client went away")
    client = _Pipe(writer)
    client.begin(transport)
    transport.set_protocol(client)
    transport.write(first)
    # Reading may have been paused while the handler ran.
    with contextlib.suppress(RuntimeError):
        transport.resume_reading()
    backwards = asyncio.create_task(_copy(reader, transport, client))
    try:
        await asyncio.wait((backwards, client.ended), return_when=asyncio.FIRST_COMPLETED)
        if client.ended.done() and not backwards.done():
            # The client has said all; what the other end still has to say may follow.
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()
            await asyncio.wait((backwards,), timeout=1.0)
    finally:
        backwards.cancel()
        await asyncio.gather(backwards, return_exceptions=True)
        writer.close()
        transport.close()
        request.protocol.connection_lost(None)
    return web.Response()


async def _copy(reader: asyncio.StreamReader, transport: asyncio.Transport, client: _Pipe) -> None:
    while data := await reader.read(_CHUNK):
        transport.write(data)
        await client.writable()


def _handshake(request: web.BaseRequest, url: str) -> bytes:
    target = urlsplit(url)
    path = target.path + (f"?{target.query}" if target.query else "")
    lines = [f"{request.method} {path} HTTP/1.1"]
    for name, value in request.raw_headers:
        if name.lower() == b"host":
            lines.append(f"Host: {target.netloc}")
        else:
            lines.append(f"{name.decode('latin-1')}: {value.decode('latin-1')}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# --- upgrading to SPDY ourselves --------------------------------------------------------------------------------------


async def _upgrade(url: str, protocol: str, dialer: Dial) -> Connection:
    """A SPDY connection to the runtime's streaming server. Raises Unavailable with its answer when it refuses."""
    target = urlsplit(url)
    reader, writer = await dialer(target.hostname or "", target.port or 80)
    path = target.path + (f"?{target.query}" if target.query else "")
    writer.write(
        (
            f"POST {path} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            f"X-Stream-Protocol-Version: {protocol}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
        writer.close()
        raise Unavailable("the container runtime's streaming server broke off") from error
    status = head.split(b"\r\n", 1)[0].decode(errors="replace")
    if " 101 " not in f"{status} ":
        body = await asyncio.wait_for(reader.read(_CHUNK), 2.0)
        writer.close()
        raise Unavailable(f"the container runtime refused the stream: {status}: {body.decode(errors='replace')}")
    return reader, writer


async def translate(request: web.BaseRequest, url: str, wanted: Wanted, dialer: Dial = dial) -> web.StreamResponse:
    """Speak v5.channel.k8s.io with the client and SPDY v4 with the runtime."""
    reader, writer = await _upgrade(url, V4_SPDY, dialer)
    session = SpdyClient(reader, writer)
    channels = {channel: session.open({"streamtype": name}) for channel, name in wanted.channels()}
    socket = web.WebSocketResponse(protocols=(V5,), max_msg_size=0, autoping=True, heartbeat=30.0)
    try:
        await socket.prepare(request)
        await _both(_to_runtime(socket, session, channels), _to_client(socket, session, channels))
    finally:
        session.close()
        await socket.close()
    return socket


async def _both(upstream: Awaitable[None], downstream: Awaitable[None]) -> None:
    """Until the runtime has said everything; or the client went away."""
    tasks = [asyncio.ensure_future(upstream), asyncio.ensure_future(downstream)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                _log.debug("stream ended: %s", result)


async def _to_runtime(socket: web.WebSocketResponse, session: SpdyClient, channels: dict[int, int]) -> None:
    async for message in socket:
        # Some clients (the Python one) send what was written as text in text messages.
        data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT) or not data:
            continue
        channel, payload = data[0], data[1:]
        if channel == _CLOSE:
            if payload and payload[0] in channels:
                await session.send(channels[payload[0]], b"", end=True)
        elif channel in (_STDIN, _RESIZE) and channel in channels and payload:
            await session.send(channels[channel], payload)


async def _to_client(socket: web.WebSocketResponse, session: SpdyClient, channels: dict[int, int]) -> None:
    by_stream = {stream_id: channel for channel, stream_id in channels.items()}
    open_outputs = {channels[channel] for channel in (_STDOUT, _STDERR, _ERROR) if channel in channels}
    async for data in session.receive():
        channel = by_stream.get(data.stream_id)
        if channel is None:
            continue
        if data.payload:
            await socket.send_bytes(bytes((channel,)) + data.payload)
        if data.end:
            open_outputs.discard(data.stream_id)
            if not open_outputs:
                return


async def tunnel(request: web.BaseRequest, url: str, dialer: Dial = dial) -> web.StreamResponse:
    """A SPDY port-forward connection carried in WebSocket messages."""
    reader, writer = await _upgrade(url, PORT_FORWARD, dialer)
    socket = web.WebSocketResponse(protocols=(TUNNEL,), max_msg_size=0, autoping=True)

    async def upstream() -> None:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data)
                await writer.drain()

    async def downstream() -> None:
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(data)

    try:
        await socket.prepare(request)
        await _both(upstream(), downstream())
    finally:
        writer.close()
        await socket.close()
    return socket


async def serve(
    request: web.BaseRequest, url: str, *, wanted: Wanted | None = None, dialer: Dial = dial
) -> web.StreamResponse:
    """Connect the client with the runtime's streaming `url` in whatever way the client speaks."""
    protocols: Iterable[str] = offered(request)
    if wanted is not None and V5 in protocols:
        return await translate(request, url, wanted, dialer)
    if wanted is None and TUNNEL in protocols:
        return await tunnel(request, url, dialer)
    return await pipe(request, url, dialer)
