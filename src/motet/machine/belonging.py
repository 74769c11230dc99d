"""A manager's machine is a node of its own cluster, too: its agent becomes one before anything else."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from motet.base.clock import SystemClock
from motet.base.errors import NotFound, Unavailable
from motet.identity import requests
from motet.identity.authority import Authority, covers
from motet.identity.node_files import NodeFiles
from motet.kinds import node
from motet.machine import joining, lifecycle
from motet.machine.layout import Machine, Settings

_log = logging.getLogger(__name__)

_LOOK_EVERY = 0.2


async def belong(machine: Machine, settings: Settings) -> None:
    """Make this machine a node of the manager that runs on it, unless it is one. Raises ApiError, MotetError.

    While the API is away an identity from before is good enough: the agent then keeps running what runs.
    """
    known = _identity(machine, settings)
    told = False
    while True:
        try:
            await _belong_now(machine, settings, known)
            return
        except (Unavailable, OSError) as error:
            if known:
                _log.warning("the manager does not answer yet (%s): the agent starts as the node it was", error)
                return
            if not told:
                _log.info("waiting for the manager before this machine can become a node of it")
                told = True
            await asyncio.sleep(_LOOK_EVERY)


async def _belong_now(machine: Machine, settings: Settings, known: str) -> None:
    async with lifecycle.connect(machine, settings) as client:
        with contextlib.suppress(NotFound):
            if known and (await client.get(node.KIND, settings.node_name)).meta.uid == known:
                return
    context = lifecycle.administrator(machine)
    await joining.join_as_administrator(
        machine.url(settings), context, settings.node_name, settings.address, machine.node_pki
    )


def _identity(machine: Machine, settings: Settings) -> str:
    """The uid of the Node that this machine's certificate stands for; empty when it has none that is good."""
    files = NodeFiles(machine.node_pki)
    if not files.complete or not (machine.pki / "ca.crt").exists():
        return ""
    authority, certificate = Authority.load(machine.pki), files.pair.read_bytes()
    sans = (settings.address, settings.node_name)
    if not covers(certificate, sans, by=authority, at=SystemClock().now()):
        return ""
    return requests.uid(certificate)
