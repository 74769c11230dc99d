"""Watches: one chunked answer, a line of JSON for each event, or a WebSocket with a message for each (Kubernetes API concepts,
"Efficient detection of changes").

Events come from the cache already encoded, one bytes object shared by every watcher, and go straight to the transport.
A client that does not keep up is first waited for, then cut: it lists again and misses nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

from aiohttp import web

from motet.api.http import answers, parameters, tables, watchstreams
from motet.api.http.calls import ResourceCall
from motet.api.http.negotiate import Form
from motet.api.http.watchstreams import HttpStream, SocketStream, Stream
from motet.api.registry import Registry
from motet.api.watching import Events
from motet.base.clock import Clock
from motet.base.errors import ApiError, Expired
from motet.kinds.kind import Json, Kind
from motet.store.cache import SlowSubscriber, WatchEvent
from motet.store.document import Document
from motet.store.engine import Compacted

# A watch without timeoutSeconds ends by itself some time in this range (seconds), so that clients spread over managers.
_LIFETIME = (1800.0, 3600.0)
_BOOKMARK_EVERY = 60.0
# Initial events are joined into chunks of about this many bytes.
_CHUNK = 64 * 1024

Encoder = Callable[[str, Document], bytes]


class Watches:
    """Handler of watch. `active` is the number of watches being served, which `end_all` ends."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._active: set[Events] = set()
        # When one event goes to many watchers it is framed once for each way of framing.
        self._shared = {each: _Framed(each.frame) for each in (HttpStream, SocketStream)}

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
        encode = _encoder(call.kind, form, shown, self._clock)
        stream = watchstreams.stream(call.request, form.content_type, call.headers)
        if encode is None and call.kind.versions is not None and call.kind.versions.waits:
            encode = _plain_line  # documents have to be converted first, which cannot be done inside the cache's turn
        direct = _Direct(stream, self._shared[type(stream)].frame) if encode is None else None
        try:
            watch = await self._registry.watch(
                call.kind, call.namespace, call.user, options, deliver=direct.deliver if direct else None
            )
        except Expired as error:
            return await _only_error(call, error)
        events = watch.events
        self._active.add(events)
        timers = _Timers(stream, events, timeout, lambda: _bookmark(call.kind, events.revision, form))
        try:
            await stream.open()
            for lines in _initial(watch.initial, encode):
                await stream.send(*lines)
            watch.initial = ()
            if watch.bookmark_initial:
                await stream.send(_bookmark(call.kind, watch.revision, form, initial_end=True))
            if direct:
                await direct.go_live(events)
            timers.start(bookmarks=bookmarks)
            await _follow(events, stream, encode)
        except Compacted as error:
            expired = Expired(f"too old resource version: {error.asked} ({error.oldest})")
            await stream.send(_error_line(expired))
        except ApiError as error:
            if not stream.opened:
                raise
            await stream.send(_error_line(error))
        finally:
            timers.stop()
            stream.release()
            self._active.discard(events)
            events.close()
        await stream.close()
        return stream.response


class _Framed:
    """Frames lines, and remembers what it made last."""

    def __init__(self, frame: Callable[[Sequence[bytes]], bytes]) -> None:
        self._frame = frame
        self._line = b""
        self._made = b""

    def frame(self, batch: Sequence[WatchEvent]) -> bytes:
        if len(batch) > 1:
            return self._frame([event.line for event in batch])
        line = batch[0].line
        if self._line is not line:
            self._line, self._made = line, self._frame((line,))
        return self._made


async def _follow(events: Events, stream: Stream, encode: Encoder | None) -> None:
    """Send every event until the subscription ends or the client leaves.

    Without an encoder the events are delivered past us, and this only waits for the end.
    """
    try:
        async for batch in events:
            assert encode is not None
            await stream.send(*[encode(event.type, event.document) for event in batch])
            if not stream.is_open:
                return
    except SlowSubscriber:
        stream.abort()


class _Direct:
    """Takes events inside the cache's own turn and writes them at once: no task has to wake up for them.

    Only for shared lines, whose making cannot fail. What comes before the initial events are out is held back.
    """

    def __init__(self, stream: Stream, frame: Callable[[Sequence[WatchEvent]], bytes]) -> None:
        self._stream = stream
        self._frame = frame
        self._held: list[Sequence[WatchEvent]] | None = []
        self._held_size = 0

    def deliver(self, batch: Sequence[WatchEvent]) -> None:
        if self._held is None:
            self._stream.write_now(self._frame(batch))
            self._stream.cut_if_slow()
            return
        self._held.append(batch)
        self._held_size += sum(len(event.line) for event in batch)
        if self._held_size > watchstreams.MOST_UNREAD:
            self._stream.abort()

    async def go_live(self, events: Events) -> None:
        """Send what was held back and, of a watch that began in the past, what came since. Raises Compacted."""
        while self._held:
            held, self._held, self._held_size = self._held, [], 0
            for batch in held:
                await self._stream.send_framed(self._frame(batch))
        self._held = None
        await events.catch_up()


class _Timers:
    """Writes the bookmarks of one watch and ends it in time. Neither disturbs the reading of events: a bookmark says how
    far everything has been sent, and the end closes the subscription.
    """

    def __init__(self, stream: Stream, events: Events, timeout: float, bookmark: Callable[[], bytes]) -> None:
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
        if self._bookmarks:
            self._stream.write_now(self._stream.frame((self._bookmark(),)))
        if self._loop.time() >= self._ends:
            self._events.close()
        else:
            self._next(_BOOKMARK_EVERY)


def _initial(documents: Iterable[Document], encode: Encoder | None) -> Iterable[list[bytes]]:
    parts: list[bytes] = []
    size = 0
    for document in documents:
        line = (encode or _plain_line)("ADDED", document)
        parts.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield parts
            parts, size = [], 0
    if parts:
        yield parts


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


def _plain_line(event: str, document: Document) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (event.encode(), document.raw)


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
