"""Telling people what happened: core/v1 Events, counted rather than repeated, and never in anybody's way.

`event` only queues; `run` writes. An event like one told within the last ten minutes raises that one's `count`; more than ten that
differ only in their message are told as one; and one object gets 25 events at once and then one every five minutes (the
numbers of client-go's EventCorrelator). What cannot be written is dropped: events are a courtesy, not a record.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from motet.base import timestamps
from motet.base.clock import Clock
from motet.base.errors import ApiError, NotFound
from motet.client.interface import Client
from motet.kinds import event as event_kind
from motet.store.document import Document

NORMAL = "Normal"
WARNING = "Warning"

_SIMILAR_LIMIT = 10
_SIMILAR_WINDOW = 600.0
_BURST = 25
_REFILL_SECONDS = 300.0
_REMEMBERED = 4096
_QUEUE_LIMIT = 2000
_AT_A_TIME = 16
_LONGEST_MESSAGE = 1024
_COMBINED = "(combined from similar events):"

_log = logging.getLogger("motet.events")


@dataclass(frozen=True, slots=True)
class About:
    """The object an event is about (`involvedObject`). `field_path` names a part, as `spec.containers{web}`."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""

    @classmethod
    def document(cls, document: Document, api_version: str, kind: str, field_path: str = "") -> About:
        meta = document.meta
        return cls(api_version, kind, meta.name, meta.namespace, meta.uid, meta.resource_version, field_path)

    def reference(self) -> dict[str, str]:
        reference = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
            "resourceVersion": self.resource_version,
            "fieldPath": self.field_path,
        }
        return {key: value for key, value in reference.items() if value}


@dataclass(frozen=True, slots=True)
class _Told:
    about: About
    type: str
    reason: str
    message: str
    at: datetime

    def similar(self) -> tuple[str, ...]:
        about = self.about
        return (about.kind, about.namespace, about.name, about.uid, about.field_path, self.type, self.reason)


@dataclass(slots=True)
class _Written:
    """An event that exists: what to patch when it happens again."""

    name: str
    count: int


@dataclass(slots=True)
class _Similar:
    """Distinct messages of one kind of event about one object, within the window."""

    since: float
    messages: set[str] = field(default_factory=set)


class EventRecorder:
    """Tells events in the name of `component` on `host`. Run `run()` beside whatever uses it."""

    def __init__(self, client: Client, clock: Clock, component: str, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._component = component
        self._host = host
        self._queue: deque[_Told] = deque()
        self._news = asyncio.Event()
        self._number = itertools.count()
        self._written: OrderedDict[tuple[str, ...], _Written] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()
        self._tokens: OrderedDict[tuple[str, str, str, str], tuple[float, float]] = OrderedDict()

    def event(self, about: About, type: str, reason: str, message: str) -> None:
        """Tell `message` about an object; `type` is NORMAL or WARNING. Returns at once, never raises."""
        if len(self._queue) >= _QUEUE_LIMIT or not self._allowed(about):
            return
        self._queue.append(_Told(about, type, reason, message[:_LONGEST_MESSAGE], self._clock.now()))
        self._news.set()

    async def run(self) -> None:
        """Write what is queued until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write everything queued so far."""
        while self._queue:
            grouped: dict[tuple[str, ...], tuple[_Told, int]] = {}
            while self._queue and len(grouped) < _AT_A_TIME:
                told = self._aggregate(self._queue.popleft())
                key = (*told.similar(), _COMBINED if told.message.startswith(_COMBINED) else told.message)
                _, count = grouped.get(key, (told, 0))
                grouped[key] = (told, count + 1)
            await asyncio.gather(*(self._write(key, told, count) for key, (told, count) in grouped.items()))

    def _allowed(self, about: About) -> bool:
        key = (about.kind, about.namespace, about.name, about.uid)
        now = self._clock.monotonic()
        tokens, at = self._tokens.get(key, (float(_BURST), now))
        tokens = min(_BURST, tokens + (now - at) / _REFILL_SECONDS)
        if tokens < 1:
            return False
        _remember(self._tokens, key, (tokens - 1, now))
        return True

    def _aggregate(self, told: _Told) -> _Told:
        key = told.similar()
        now = self._clock.monotonic()
        similar = self._similar.get(key)
        if similar is None or now - similar.since > _SIMILAR_WINDOW:
            similar = _Similar(now)
        _remember(self._similar, key, similar)
        if told.message in similar.messages:
            return told
        if len(similar.messages) >= _SIMILAR_LIMIT:
            return replace(told, message=f"{_COMBINED} {told.message}")
        similar.messages.add(told.message)
        return told

    async def _write(self, key: tuple[str, ...], told: _Told, count: int) -> None:
        try:
            written = self._written.get(key)
            if written is not None:
                try:
                    await self._bump(written, told, count)
                    return
                except NotFound:  # it has expired meanwhile
                    del self._written[key]
            document = self._document(told, count)
            await self._client.create(event_kind.KIND, document, document["metadata"]["namespace"])
            _remember(self._written, key, _Written(document["metadata"]["name"], count))
        except ApiError as error:
            _log.debug("event %s about %s dropped: %s", told.reason, told.about.name, error)

    async def _bump(self, written: _Written, told: _Told, count: int) -> None:
        written.count += count
        patch = {"count": written.count, "lastTimestamp": timestamps.format_time(told.at), "message": told.message}
        await self._client.patch(event_kind.KIND, written.name, patch, told.about.namespace or "default")

    def _document(self, told: _Told, count: int) -> dict[str, Any]:
        at = timestamps.format_time(told.at)
        # Nanoseconds, as client-go names them; the last three digits tell events of one microsecond apart.
        stamp = f"{int(told.at.timestamp() * 1_000_000) * 1000 + next(self._number) % 1000:x}"
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{told.about.name}.{stamp}", "namespace": told.about.namespace or "default"},
            "involvedObject": told.about.reference(),
            "reason": told.reason,
            "message": told.message,
            "source": source,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": count,
            "type": told.type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


def _remember(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
