"""How long a pod that is to end may still be sent new connections: until its slices say that it takes none and the nodes
have heard. A process that ends at once when told to would otherwise refuse whoever comes meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

from motet.base.clock import Clock
from motet.network.proxy.views import Endpoint
from motet.store.table import Table

# What other nodes may hear a change later than this one, and program it.
OTHERS_SECONDS = 0.3
_LOOK_SECONDS = 0.02


class _Target(msgspec.Struct, gc=False, frozen=True):
    uid: str = ""


class _Endpoint(Endpoint, gc=False, frozen=True, rename="camel"):
    target_ref: _Target | None = None


class SliceView(msgspec.Struct, gc=False, frozen=True):
    endpoints: tuple[_Endpoint, ...] | None = None


class State(Enum):
    """What slices say of a pod: nobody is sent there, new connections are, or only those that have nowhere else to go."""

    UNKNOWN = 0
    TAKING = 1
    LEAVING = 2


def state(slices: Iterable[SliceView], uid: str) -> State:
    """Of all endpoints of the pod; one that takes connections decides."""
    found = State.UNKNOWN
    for each in slices:
        for endpoint in each.endpoints or ():
            if endpoint.target_ref is None or endpoint.target_ref.uid != uid or endpoint.conditions is None:
                continue
            if endpoint.conditions.ready and not endpoint.conditions.terminating:
                return State.TAKING
            if endpoint.conditions.serving:
                found = State.LEAVING
    return found


async def until_drained(slices: Table, namespace: str, uid: str, clock: Clock, longest: float) -> None:
    """Return when no node begins connections to the pod any more, at once if none does, and after `longest` seconds anyway."""
    deadline = clock.monotonic() + longest

    def now() -> State:
        return state((each.view(SliceView) for each in slices.select(namespace)), uid)

    if now() is State.UNKNOWN:
        return
    while now() is State.TAKING and clock.monotonic() < deadline:
        await clock.sleep(_LOOK_SECONDS)
    await clock.sleep(min(OTHERS_SECONDS, max(0.0, deadline - clock.monotonic())))
