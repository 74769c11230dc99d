"""Nodes are told at once when a ConfigMap or Secret changes that their pods use: names only, over one connection each.

A node could watch each of them, as the kubelet does; a connection per object would cost more than everything else a node asks
for. What a node uses is known here anyway (`nodegraph`), for it may read nothing else. A node looks for itself now and then all the
same: this is a hint and not a promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from aiohttp import web

from motet.api.http.calls import Call
from motet.api.http.watchstreams import HttpStream
from motet.api.users import NODE_PREFIX, NODES
from motet.base.clock import Clock
from motet.base.errors import Forbidden, MethodNotAllowed
from motet.store.document import Document
from motet.store.table import Table

PATH = "/motet/v1/changes"
_RESOURCES = ("configmaps", "secrets")
# Something is said this often, so that either side notices when the other is gone.
_EVERY = 30.0
# Changes of one moment are told together.
_TOGETHER = 0.05

# Resource, namespace, name.
Object = tuple[str, str, str]


class Uses(Protocol):
    """What the pods of nodes use."""

    def uses(self, node: str, resource: str, namespace: str, name: str) -> bool: ...


@dataclass(slots=True, eq=False)
class _Listener:
    node: str
    changed: dict[Object, None] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class UsedObjects:
    """One per manager. Follows the tables of what pods use."""

    def __init__(self, table: Callable[[str], Table], uses: Uses, clock: Clock) -> None:
        self._uses = uses
        self._clock = clock
        self._listeners: set[_Listener] = set()
        self._ended = False
        for resource in _RESOURCES:
            table(f"core/{resource}").listen(self._noting(resource))

    def _noting(self, resource: str) -> Callable[[Document | None, Document | None], None]:
        def note(old: Document | None, new: Document | None) -> None:
            document = new or old
            assert document is not None
            for listener in self._listeners:
                if self._uses.uses(listener.node, resource, document.namespace, document.name):
                    listener.changed[resource, document.namespace, document.name] = None
                    listener.news.set()

        return note

    async def serve(self, call: Call) -> web.StreamResponse:
        """Tell a node until it goes. Raises Forbidden for anybody else, MethodNotAllowed."""
        if call.request.method != "GET":
            raise MethodNotAllowed(f"{call.request.method} is not among the things to do with {PATH}")
        if NODES not in call.user.groups or not call.user.name.startswith(NODE_PREFIX):
            raise Forbidden("this is for nodes, which are told of what their pods use")
        call.verb = "watch"
        listener = _Listener(call.user.name.removeprefix(NODE_PREFIX))
        stream = HttpStream(call.request, "application/json", call.headers)
        # Before the answer begins, so that nothing is missed that changes afterwards.
        self._listeners.add(listener)
        try:
            await stream.open()
            while stream.is_open and not self._ended:
                changed, listener.changed = listener.changed, {}
                listener.news.clear()
                await stream.send(msgspec.json.encode({"changed": list(changed)}) + b"\n")
                await self._wait(listener)
            await stream.close()
        finally:
            self._listeners.discard(listener)
        return stream.response

    async def _wait(self, listener: _Listener) -> None:
        alarm = asyncio.ensure_future(self._clock.sleep(_EVERY))
        news = asyncio.ensure_future(listener.news.wait())
        try:
            await asyncio.wait((alarm, news), return_when=asyncio.FIRST_COMPLETED)
            if news.done() and not self._ended:
                await self._clock.sleep(_TOGETHER)
        finally:
            alarm.cancel()
            news.cancel()

    def end_all(self) -> None:
        """The server stops."""
        self._ended = True
        for listener in self._listeners:
            listener.news.set()
