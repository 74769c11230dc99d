"""How a testbed's machine becomes a node: in the administrator's name, since both disks are at hand."""

from __future__ import annotations

import asyncio

from motet.base.clock import SystemClock
from motet.base.errors import Unavailable
from motet.identity.node_files import NodeFiles
from motet.machine import joining
from motet.machine.layout import Machine, Settings
from motet.machine.lifecycle import administrator

_SECONDS = 60.0
_AGAIN_SECONDS = 0.1


async def join(server: str, manager: Machine, worker: Machine, settings: Settings) -> None:
    """Make `worker` a node of the manager at `server`, once. Raises ApiError when the API does not answer in time.

    One that has an identity keeps it, be it still good or not: turning a machine on is not joining again.
    """
    if NodeFiles(worker.node_pki).complete:
        return
    clock = SystemClock()
    began = clock.monotonic()
    while True:
        try:
            await joining.join_as_administrator(
                server, administrator(manager), settings.node_name, settings.address, worker.node_pki
            )
            return
        except Unavailable:
            if clock.monotonic() - began > _SECONDS:
                raise
            await asyncio.sleep(_AGAIN_SECONDS)
