"""Reading the logs of pods: once, or for as long as somebody looks, with pods that come, go and start again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass

from motet.base.clock import Clock
from motet.base.errors import ApiError, BadRequest, NotFound, Unavailable
from motet.cli import services
from motet.cli.logstream.lines import LogLine, Splitter, in_order
from motet.client.remote import RemoteClient
from motet.kinds import app as app_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document
from motet.store.table import Table

_AGAIN = 0.5
# Lines of different pods that arrive within this time are put in order.
_GATHER = 0.1
_MOST_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class Query:
    """Which lines. `since` is in seconds, `since_time` RFC 3339; None and empty mean all."""

    tail: int | None = None
    since: int | None = None
    since_time: str = ""

    def parameters(self) -> dict[str, str]:
        given = {"tailLines": self.tail, "sinceSeconds": self.since, "sinceTime": self.since_time or None}
        return {"timestamps": "true"} | {key: str(value) for key, value in given.items() if value is not None}


async def _stream(client: RemoteClient, pod: Document, parameters: Mapping[str, str]) -> AsyncIterator[LogLine]:
    splitter = Splitter(services.short_name(pod))
    path = pod_kind.KIND.path(pod.namespace, pod.name, "log")
    async for piece in client.stream(path, parameters):
        for line in splitter.feed(piece):
            yield line
    for line in splitter.end():
        yield line


async def read(client: RemoteClient, pods: Iterable[Document], query: Query) -> list[LogLine]:
    """Everything there is now, in order. Pods that have not started yet have nothing to say."""

    async def one(pod: Document) -> list[LogLine]:
        try:
            return [line async for line in _stream(client, pod, query.parameters())]
        except (BadRequest, NotFound):
            return []

    return in_order(line for part in await asyncio.gather(*(one(pod) for pod in pods)) for line in part)


async def follow(
    client: RemoteClient,
    namespace: str,
    wanted: frozenset[str],
    query: Query,
    clock: Clock,
    write: Callable[[list[LogLine]], None],
) -> None:
    """Hand lines to `write` as they come, until cancelled. Pods made later are followed from their beginning."""
    queue: asyncio.Queue[LogLine] = asyncio.Queue(_MOST_WAITING)
    table = await client.table(pod_kind.KIND, namespace)
    news = asyncio.Event()
    stop = table.listen(lambda old, new: news.set())
    followed: set[str] = set()
    first = True
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_drain(queue, clock, write))
            while True:
                news.clear()
                for pod in list(table):
                    if (pod.meta.labels or {}).get(app_kind.LABEL) in wanted and pod.meta.uid not in followed:
                        followed.add(pod.meta.uid)
                        group.create_task(_one(client, table, pod, query if first else Query(), clock, queue))
                first = False
                await news.wait()
    finally:
        stop()


async def _one(
    client: RemoteClient, table: Table, pod: Document, query: Query, clock: Clock, queue: asyncio.Queue[LogLine]
) -> None:
    """One pod, over its restarts, until it is gone or has ended for good."""
    last = ""
    while True:
        try:
            async for line in _stream(client, pod, query.parameters() | {"follow": "true"}):
                if line.time > last:
                    last = line.time
                    await queue.put(line)
        except Unavailable:
            pass
        except (BadRequest, NotFound):
            pass
        except ApiError:
            return
        known = table.get(pod.name, pod.namespace)
        if known is None or known.meta.uid != pod.meta.uid:
            return
        if known.decode().get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        if last:
            # The API takes whole seconds; what was seen of that second is passed over by its time.
            query = Query(since_time=f"{last[:19]}Z")
        await clock.sleep(_AGAIN)


async def _drain(queue: asyncio.Queue[LogLine], clock: Clock, write: Callable[[list[LogLine]], None]) -> None:
    while True:
        lines = [await queue.get()]
        await clock.sleep(_GATHER)
        while not queue.empty():
            lines.append(queue.get_nowait())
        write(in_order(lines))
