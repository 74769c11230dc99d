"""Watches over HTTP: one chunked answer, a line of JSON for each event (Kubernetes API concepts, "Efficient detection
of changes").

Events come from the cache already encoded, one bytes object shared by every watcher, and go straight to the transport.
A client that does not keep up is first waited for, then cut: it lists again and misses nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

from aiohttp import web

from motet.api.http import answers, parameters, tables
from motet.api.http.calls import ResourceCall
from motet.api.http.negotiate import Form
from motet.api.registry import Registry
from motet.base.clock import Clock
from motet.base.errors import ApiError, Expired
from motet.kinds.kind import Json, Kind
from motet.store.cache import SlowSubscriber, Subscription, WatchEvent
from motet.store.document import Document
from motet.store.engine import Compacted

# A watch without timeoutSeconds ends by itself some time in this range (seconds), so that clients spread over managers.
_LIFETIME = (1800.0, 3600.0)
_BOOKMARK_EVERY = 60.0
# Seconds a client may leave a full buffer unread before it is cut.
_STALLED_AFTER = 30.0
# Initial events are joined into chunks of about this many bytes.
_CHUNK = 64 * 1024

Encoder = Callable[[str, Document], bytes]


class Watches:
    """Handler of watch. `active` is the number of watches being served, which `end_all` ends."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._active: set[Subscription] = set()
        # The chunk made last: when one event goes to many watchers it is framed once.
        self._framed: tuple[bytes, bytes] = (b"", b"")

    @property
    def active(self) -> int:
        return len(self._active)

    def end_all(self) -> None:
        """End every watch in good order: clients begin again, at another manager or at this one's successor."""
        for subscription in list(self._active):
            subscription.close()

    async def serve(self, call: ResourceCall) -> web.StreamResponse:
        """Answer until the client leaves or the time is over. Raises ApiError before anything was sent."""
        form = call.form
        query = call.query
        options = parameters.of_watch(query, call.target.name)
        timeout = parameters.integer(query, "timeoutSeconds") or random.uniform(*_LIFETIME)  # noqa: S311
        bookmarks = parameters.flag(query, "allowWatchBookmarks")
        shown = tables.include(query.get("includeObject", ""))
        try:
            watch = await self._registry.watch(call.kind, call.namespace, call.user, options)
        except Expired as error:
            return await _only_error(call, error)
        encode = _encoder(call.kind, form, shown, self._clock)
        stream = _Stream(call.request, form.content_type)
        self._active.add(watch.events)
        timers = _Timers(stream, watch.events, timeout, lambda: _bookmark(call.kind, watch.events.revision, form))
        try:
            await stream.open()
            for chunk in _initial(watch.initial, encode):
                await stream.send(chunk)
            watch.initial = ()
            if watch.bookmark_initial:
                await stream.send(_bookmark(call.kind, watch.revision, form, initial_end=True))
            timers.start(bookmarks=bookmarks)
            await self._follow(watch.events, stream, encode)
        finally:
            timers.stop()
            self._active.discard(watch.events)
            watch.events.close()
        await stream.close()
        return stream.response

    async def _follow(self, events: Subscription, stream: _Stream, encode: Encoder | None) -> None:
        """Send every event until the subscription ends or the client leaves."""
        try:
            async for batch in events:
                await stream.send_framed(self._frame(batch, encode))
                if not stream.is_open:
                    return
        except SlowSubscriber:
            stream.abort()
        except Compacted as error:
            await stream.send(_error_line(Expired(f"too old resource version: {error.asked} ({error.oldest})")))

    def _frame(self, batch: Sequence[WatchEvent], encode: Encoder | None) -> bytes:
        if encode is not None:
            return _framed(b"".join([encode(event.type, event.document) for event in batch]))
        if len(batch) > 1:
            return _framed(b"".join([event.line for event in batch]))
        line = batch[0].line
        if self._framed[0] is not line:
            self._framed = (line, _framed(line))
        return self._framed[1]


class _Stream:
    """The chunked answer. Written past aiohttp's writer: an idle watch then costs a connection and little more."""

    def __init__(self, request: web.BaseRequest, content_type: str) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"})

    async def open(self) -> None:
        self.response.enable_chunked_encoding()
        await self.response.prepare(self._request)

    @property
    def is_open(self) -> bool:
        transport = self._request.transport
        return transport is not None and not transport.is_closing()

    async def send(self, data: bytes) -> None:
        await self.send_framed(_framed(data))

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

    def abort(self) -> None:
        """Cut the connection, unsent data and all."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    async def close(self) -> None:
        if self.is_open:
            await self.response.write_eof()


class _Timers:
    """Writes the bookmarks of one watch and ends it in time. Neither disturbs the reading of events: a bookmark says how
    far everything has been sent, and the end closes the subscription.
    """

    def __init__(self, stream: _Stream, events: Subscription, timeout: float, bookmark: Callable[[], bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._events = events
        self._ends = self._loop.time() + timeout
        self._bookmark = bookmark
        self._bookmarks = False
        self._handle: asyncio.TimerHandle | None = None

    def start(self, *, bookmarks: bool) -> None:
        self._bookmarks = bookmarks
        self._next(_BOOKMARK_EVERY * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the work, not a secret

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _next(self, seconds: float) -> None:
        due = min(self._ends, self._loop.time() + seconds) if self._bookmarks else self._ends
        self._handle = self._loop.call_at(due, self._due)

    def _due(self) -> None:
        if self._bookmarks and not self._events.closed:
            self._stream.write_now(_framed(self._bookmark()))
        if self._loop.time() >= self._ends:
            self._events.close()
        else:
            self._next(_BOOKMARK_EVERY)


def _framed(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _initial(documents: Iterable[Document], encode: Encoder | None) -> Iterable[bytes]:
    parts: list[bytes] = []
    size = 0
    for document in documents:
        line = encode("ADDED", document) if encode else b'{"type":"ADDED","object":%b}\n' % document.raw
        parts.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _encoder(kind: Kind, form: Form, shown: tables.Include, clock: Clock) -> Encoder | None:
    """How an event becomes a line; None means the shared line does."""
    version = form.version
    if form.shape == "metadata":
        return lambda event, document: (
            b'{"type":"%b","object":%b}\n'
            % (
                event.encode(),
                tables.metadata_only(document, version),
            )
        )
    if form.shape == "table":
        columns = tables.columns_of(kind)
        first = True

        def encode(event: str, document: Document) -> bytes:
            nonlocal first
            table = tables.of_event(columns if first else None, columns, document, shown, version, clock.now())
            first = False
            return answers.encode({"type": event, "object": table}) + b"\n"

        return encode
    return None


def _bookmark(kind: Kind, revision: int, form: Form, *, initial_end: bool = False) -> bytes:
    metadata: Json = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    marked: Json
    if form.shape == "object":
        marked = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    else:
        marked = {
            "kind": "PartialObjectMetadata",
            "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": metadata,
        }
    if form.shape == "table":
        columns = tables.columns_of(kind)
        row: Json = {"cells": ["" if column.type == "string" else None for column in columns], "object": marked}
        marked = tables.table({"resourceVersion": str(revision)}, None, [row], form.version)
    return answers.encode({"type": "BOOKMARK", "object": marked}) + b"\n"


def _error_line(error: ApiError) -> bytes:
    return answers.encode({"type": "ERROR", "object": error.status()}) + b"\n"


async def _only_error(call: ResourceCall, error: ApiError) -> web.StreamResponse:
    """A watch that cannot begin where it was asked to: one ERROR event, as informers expect it."""
    return answers.body(_error_line(error))
