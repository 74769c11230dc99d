"""The ConfigMap `extension-apiserver-authentication`, kept true: by it extension servers know whom to believe."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from motet.api.aggregation import identity
from motet.api.registry import Registry
from motet.api.users import MASTERS, User
from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, Conflict, NotFound
from motet.kinds import configmap

_SYSTEM = User("system:apiserver", (MASTERS,))
_EVERY_SECONDS = 10.0
# The PEM of the roots of clients, and of the front proxy.
Roots = tuple[str, str]


async def ensure(registry: Registry, roots: Roots) -> None:
    """Make it, or correct what it says of us; what others have added stays. Raises ApiError when a write is refused."""
    wanted = identity.configuration(*roots)
    where, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
    found = registry.table(configmap.KIND).get(name, where)
    try:
        if found is None:
            await registry.create(configmap.KIND, where, wanted, _SYSTEM)
            return
        current = found.decode()
        data = {**(current.get("data") or {}), **wanted["data"]}
        if data != current.get("data"):
            await registry.update(configmap.KIND, where, name, {**current, "data": data}, _SYSTEM)
    except (AlreadyExists, Conflict, NotFound):
        return  # Somebody else was faster; the next round looks again.


async def keep(registry: Registry, roots: Callable[[], Roots], clock: Clock) -> NoReturn:
    """`ensure` every ten seconds, with whatever roots there are then; cancellation ends it."""
    while True:
        await ensure(registry, roots())
        await clock.sleep(_EVERY_SECONDS)
