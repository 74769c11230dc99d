"""containerd's own event stream: exits, starts and OOM kills within milliseconds.

The stream has no replay, no acknowledgement that a subscription has begun, and ends when containerd does. So after
subscribing a marker event of our own is sent through containerd until it comes back: from then on nothing is missed,
and LOST is yielded, which tells the reader to look at everything once. Whatever the reader sees then is at
least as new as the moment the stream began.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from motet.base.clock import Clock
from motet.runtime import wire
from motet.runtime.interface import EventKind, RuntimeEvent

log = logging.getLogger(__name__)

_MARKER_TOPIC = "/motet/marker"
_TOPICS = ("/tasks/start", "/tasks/exit", "/tasks/oom", "/containers/delete", _MARKER_TOPIC)
# containerd parses an unquoted slash as the end of a value.
_FILTERS = [f'namespace=={wire.NAMESPACE},topic=="{topic}"' for topic in _TOPICS]
_MARKER_SECONDS = 0.05
_LONGEST_DELAY = 2.0


@dataclass(slots=True)
class Lag:
    """Seconds between an event's own time stamp and our reading it."""

    last: float = 0.0
    worst: float = 0.0
    total: float = 0.0
    count: int = 0

    def note(self, seconds: float) -> None:
        self.last = max(0.0, seconds)
        self.worst = max(self.worst, self.last)
        self.total += self.last
        self.count += 1


def translate(topic: str, value: bytes) -> RuntimeEvent | None:
    """Our event for the payload of an envelope, or None when it is of no interest (the exit of an exec)."""
    if topic == "/tasks/start":
        return RuntimeEvent(EventKind.STARTED, wire.MESSAGE["TaskStart"].FromString(value).container_id)
    if topic == "/tasks/exit":
        ended = wire.MESSAGE["TaskExit"].FromString(value)
        if ended.id != ended.container_id:
            return None
        return RuntimeEvent(EventKind.EXITED, ended.container_id, ended.exit_status)
    if topic == "/tasks/oom":
        return RuntimeEvent(EventKind.OOM, wire.MESSAGE["TaskOOM"].FromString(value).container_id)
    if topic == "/containers/delete":
        return RuntimeEvent(EventKind.REMOVED, wire.MESSAGE["ContainerDelete"].FromString(value).id)
    return None


async def subscribe(channel: Any, *, clock: Clock, lag: Lag) -> AsyncIterator[RuntimeEvent]:
    """Events for ever, over every restart of containerd. Yields LOST once the stream stands, each time."""
    delay = 0.05
    while True:
        try:
            async for event in _one_stream(channel, clock, lag):
                delay = 0.05
                yield event
        except grpc.aio.AioRpcError as error:
            log.info("event stream interrupted: %s %s", error.code().name, error.details())
        await clock.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY)


async def _one_stream(channel: Any, clock: Clock, lag: Lag) -> AsyncIterator[RuntimeEvent]:
    marker = uuid.uuid4().hex
    stream = wire.server_stream(channel, "containerd.services.events.v1.Events/Subscribe")(
        wire.MESSAGE["SubscribeRequest"](filters=_FILTERS), metadata=wire.METADATA
    )
    marking = asyncio.create_task(_send_markers(channel, marker, clock))
    begun = False
    try:
        async for envelope in stream:
            if envelope.topic == _MARKER_TOPIC:
                if envelope.event.value == marker.encode() and not begun:
                    begun = True
                    marking.cancel()
                    yield RuntimeEvent(EventKind.LOST)
                continue
            stamp = envelope.timestamp
            lag.note(clock.now().timestamp() - stamp.seconds - stamp.nanos / 1e9)
            event = translate(envelope.topic, envelope.event.value)
            # What came before the marker is covered by LOST.
            if event is not None and begun:
                yield event
    finally:
        stream.cancel()
        marking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await marking


async def _send_markers(channel: Any, marker: str, clock: Clock) -> None:
    """Send the marker again and again (the reader cancels this when it has come back)."""
    forward = wire.unary(channel, "containerd.services.events.v1.Events/Forward")
    while True:
        now = clock.now().timestamp()
        envelope = wire.MESSAGE["Envelope"](
            timestamp=wire.MESSAGE["Timestamp"](seconds=int(now), nanos=int(now % 1 * 1e9)),
            namespace=wire.NAMESPACE,
            topic=_MARKER_TOPIC,
            event=wire.MESSAGE["Any"](type_url="motet.dev/marker", value=marker.encode()),
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            await forward(wire.MESSAGE["ForwardRequest"](envelope=envelope), metadata=wire.METADATA, timeout=5)
        await clock.sleep(_MARKER_SECONDS)
