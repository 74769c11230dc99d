"""List, then watch: keep a `Table` true to a remote API server for as long as the process lives.

The server may go away, restart, or say that a revision is too old; the table keeps its last contents meanwhile and is
brought up to date by the smallest means that is safe: watch on from the last revision, or list again and apply the difference.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from motet.base import jitter
from motet.base.clock import Clock
from motet.base.errors import ApiError, Expired, Forbidden, NotFound, from_status
from motet.client.memory import Memory
from motet.kinds.kind import Kind
from motet.store.document import Document, Key
from motet.store.table import Table

_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 15.0
# Whatever lasted so long was no failure.
_HEALTHY_AFTER = 5.0


class _ListMeta(msgspec.Struct, rename={"resource_version": "resourceVersion", "next": "continue"}):
    resource_version: str = ""
    next: str = ""


class Page(msgspec.Struct):
    """One page of a list, its items left as the bytes they came in."""

    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class WatchLine(msgspec.Struct):
    """One line of a watch, its object left as bytes."""

    type: str
    object: msgspec.Raw


class Source(Protocol):
    """Where a mirror reads from."""

    def pages(self, kind: Kind, namespace: str, query: dict[str, str]) -> AsyncIterator[Page]: ...

    def lines(self, kind: Kind, namespace: str, query: dict[str, str]) -> AsyncIterator[WatchLine]: ...


def document_of(kind: Kind, raw: bytes) -> Document:
    """A document from an object's JSON as a server sent it."""
    probe = Document(Key(kind.resource, "", ""), raw, 0)
    meta = probe.meta
    return Document(Key(kind.resource, meta.namespace, meta.name), raw, int(meta.resource_version or 0))


class Mirror:
    """One table's keeper."""

    def __init__(
        self,
        source: Source,
        kind: Kind,
        namespace: str,
        query: dict[str, str],
        clock: Clock,
        memory: Memory | None = None,
    ) -> None:
        self.table = Table(kind.resource, fields=kind.fields, indexed_fields=kind.indexed_fields)
        self._source = source
        self._kind = kind
        self._namespace = namespace
        self._query = query
        self._clock = clock
        self._memory = memory
        self._known = asyncio.Event()
        self._synced = asyncio.Event()
        self._revision = 0

    async def known(self) -> None:
        """Return once the table holds the first list, or what was kept of it while the server is away."""
        await self._known.wait()

    async def synced(self) -> None:
        """Return once the first list is in the table."""
        await self._synced.wait()

    async def run(self) -> None:
        """Keep the table true until cancelled.

        However a watch ends, the next begins after a jittered pause, a longer one each time that it was for nothing: a server
        that comes back, or one that ends every watch at once, meets its thousand agents one by one.
        """
        delay = _FIRST_DELAY
        while True:
            began = self._clock.monotonic()
            try:
                if not self._revision:
                    await self._list()
                await self._watch()
            except Expired:
                self._revision = 0
            except (NotFound, Forbidden) as error:
                self._not_served(error)
            except (ApiError, OSError, TimeoutError) as error:
                _log.log(logging.WARNING if delay > 1 else logging.DEBUG, "watching %s: %s", self._kind.plural, error)
                self._recall()
            if self._clock.monotonic() - began >= _HEALTHY_AFTER:
                delay = _FIRST_DELAY
            await self._clock.sleep(jitter.around(delay))
            delay = min(delay * 2, _LONGEST_DELAY)

    def _not_served(self, error: ApiError) -> None:
        """A server older than we are knows nothing of a kind that came later: then there is none of it, until there is."""
        if self._query or self._synced.is_set():
            _log.debug("watching %s: %s", self._kind.plural, error)
            return
        _log.warning("%s are not to be had from this server: %s", self._kind.plural, error)
        self._has_synced()

    def _recall(self) -> None:
        """Begin with what was known when somebody last kept it, until the server is there to say what is true."""
        found = None if self._memory is None or self._known.is_set() else self._memory.recall(self._kind.resource)
        if found is None:
            return
        for raw in found:
            document = document_of(self._kind, raw)
            self.table.apply(document.key, document, document.revision)
        _log.warning("%s are those that were known last, until the server is back", self._kind.plural)
        self._known.set()

    async def _list(self) -> None:
        seen: set[Key] = set()
        revision = 0
        async for page in self._source.pages(self._kind, self._namespace, self._query):
            revision = int(page.metadata.resource_version)
            for item in page.items:
                document = document_of(self._kind, bytes(item))
                seen.add(document.key)
                known = self.table.get(document.name, document.namespace)
                if known is None or known.revision != document.revision:
                    self.table.apply(document.key, document, document.revision)
        for gone in [known.key for known in self.table if known.key not in seen]:
            self.table.apply(gone, None, revision)
        self._revision = revision
        self._has_synced()

    def _has_synced(self) -> None:
        self._known.set()
        self._synced.set()

    async def _watch(self) -> None:
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._revision),
            # Spread over time, so that a thousand agents do not come back in one second.
            "timeoutSeconds": str(random.randint(300, 600)),  # noqa: S311 - jitter, not a secret
        }
        async for line in self._source.lines(self._kind, self._namespace, query):
            self._apply(line)

    def _apply(self, line: WatchLine) -> None:
        if line.type == "ERROR":
            status: dict[str, Any] = msgspec.json.decode(line.object)
            raise from_status(status)
        document = document_of(self._kind, bytes(line.object))
        self._revision = document.revision
        if line.type != "BOOKMARK":
            gone = line.type == "DELETED"
            self.table.apply(document.key, None if gone else document, document.revision)
