"""A kernel without a network: real SQLite in a folder of the test's own, cache, catalogue and registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from motet.api.admission import Chain
from motet.api.allocate import ServiceNumbers
from motet.api.registry import Registry, resources
from motet.api.users import CONTROLLERS
from motet.base.clock import Clock, FakeClock
from motet.kinds import namespace
from motet.kinds.catalogue import Catalogue
from motet.store.cache import Cache
from motet.store.sqlite import SqliteStore

ADMIN = CONTROLLERS


@asynccontextmanager
async def kernel(
    folder: Path, clock: Clock | None = None, numbers: ServiceNumbers = ServiceNumbers()
) -> AsyncIterator[Registry]:
    """A registry with the namespace `default` in it."""
    catalogue = Catalogue()
    store = SqliteStore(folder / "state.db", "NORMAL")
    await store.open()
    cache = Cache(store, resources(catalogue))
    await cache.start()
    registry = Registry(store, cache, catalogue, clock or FakeClock(), numbers=numbers)
    try:
        await registry.create(namespace.KIND, "", {"metadata": {"name": "default"}}, ADMIN)
        yield registry
    finally:
        await cache.close()
        await store.close()


def config(name: str = "", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "nginx"}], **spec}}


def deployment(name: str = "web", replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "nginx"}]},
            },
        },
    }


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": name}, **spec}}


def admit(registry: Registry, chain: Chain) -> None:
    """Have the registry ask this chain from now on."""
    whole = Registry(registry.store, registry.cache, registry.catalogue, registry.clock, admission=chain)
    vars(registry).update(vars(whole))
