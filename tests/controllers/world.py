"""A real kernel (SQLite, cache, registry, in-process client) with loops on top and a kubelet of a few lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from motet.api.registry import Registry, resources
from motet.base import timestamps
from motet.base.clock import Clock, SystemClock
from motet.base.errors import ApiError
from motet.client.events import EventRecorder
from motet.client.interface import Client
from motet.client.local import LocalClient
from motet.controllers.daemonset import node_of
from motet.kinds import namespace
from motet.kinds import pod as pod_kind
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind
from motet.store.cache import Cache
from motet.store.document import Document
from motet.store.sqlite import SqliteStore

PATIENCE = 10.0


class World:
    """What a test sees of the cluster."""

    def __init__(self, client: LocalClient, clock: Clock, registry: Registry) -> None:
        self.client = client
        self.clock = clock
        self.registry = registry
        self.events = EventRecorder(client, clock, "test")

    async def create(self, kind: Kind, body: dict[str, Any], namespace: str = "default") -> Document:
        return await self.client.create(kind, body, namespace if kind.namespaced else "")

    def get(self, kind: Kind, name: str, namespace: str = "default") -> dict[str, Any] | None:
        found = self.registry.table(kind).get(name, namespace if kind.namespaced else "")
        return found.decode() if found else None

    def all(self, kind: Kind) -> list[dict[str, Any]]:
        return [document.decode() for document in self.registry.table(kind)]

    async def status(self, kind: Kind, name: str, status: dict[str, Any], namespace: str = "default") -> None:
        where = namespace if kind.namespaced else ""
        await self.client.patch(kind, name, {"status": status}, where, subresource="status")

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until `condition()` is true, looking after every change of anything."""
        changed = asyncio.Event()
        stops = [self.registry.table(kind).listen(lambda old, new: changed.set()) for kind in self.registry.catalogue]
        try:
            async with asyncio.timeout(PATIENCE):
                while not (result := condition()):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), 0.25)
                    changed.clear()
                return result
        finally:
            for stop in stops:
                stop()


@asynccontextmanager
async def world(
    folder: Path, *loops: Callable[[World], Awaitable[None]], clock: Clock | None = None
) -> AsyncIterator[World]:
    """A kernel with the namespace `default`, and each of `loops` running until the end."""
    clock = clock or SystemClock()
    catalogue = Catalogue()
    store = SqliteStore(folder / "state.db", "NORMAL")
    await store.open()
    cache = Cache(store, resources(catalogue))
    await cache.start()
    registry = Registry(store, cache, catalogue, clock)
    found = World(LocalClient(registry), clock, registry)
    tasks: list[asyncio.Task[None]] = []
    try:
        await found.create(namespace.KIND, {"metadata": {"name": "default"}})
        tasks = [asyncio.ensure_future(loop(found)) for loop in loops]
        yield found
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await found.client.close()
        await cache.close()
        await store.close()


async def kubelet(world: World) -> None:
    """Every pod gets a node, runs at once, and ends at once when it is deleted."""
    await run_pods(world.client, world.clock)


async def run_pods(client: Client, clock: Clock, bad: str = "", done: str = "done") -> None:
    """Pods of the image `bad` fail at once, those of `done` end well."""
    pods = await client.table(pod_kind.KIND)
    todo: asyncio.Queue[Document] = asyncio.Queue()
    pods.listen(lambda old, new: todo.put_nowait(new) if new else None)
    for pod in pods:
        todo.put_nowait(pod)
    counter = 0
    while True:
        pod = await todo.get()
        counter += 1
        with contextlib.suppress(ApiError):
            image = pod.decode()["spec"]["containers"][0].get("image")
            code = 1 if bad and image == bad else 0 if image == done else None
            await run_pod(client, pod, counter, clock, code)


async def run_pod(client: Client, pod: Document, number: int, clock: Clock, code: int | None = None) -> None:
    """`code`: it ends at once with this exit code."""
    body = pod.decode()
    if body["metadata"].get("deletionTimestamp"):
        await client.delete(pod_kind.KIND, pod.name, pod.namespace, uid=pod.meta.uid, grace_seconds=0)
        return
    if not body["spec"].get("nodeName"):
        await client.bind([(pod.namespace, pod.name, pod.meta.uid, node_of(pod) or "n1")])
        return
    if (body.get("status") or {}).get("phase", "Pending") != "Pending":
        return
    now = timestamps.format_time(clock.now())
    address = f"10.42.{number // 250}.{number % 250 + 2}"
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
    }
    if code is not None:
        ended = {"exitCode": code, "startedAt": now, "finishedAt": now, "reason": "Error" if code else "Completed"}
        (spec,) = body["spec"]["containers"]
        told = {"ready": False, "restartCount": 0, "imageID": "", "state": {"terminated": ended}}
        container = {"name": spec["name"], "image": spec["image"], **told}
        status |= {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}
        status["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": now}]
    await client.patch(pod_kind.KIND, pod.name, {"status": status}, pod.namespace, subresource="status")
