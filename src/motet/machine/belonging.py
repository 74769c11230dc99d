"""A manager's machine is a node of its own cluster, too: its agent becomes one before anything else."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from motet.base.clock import SystemClock
from motet.base.errors import NotFound, Unavailable
from motet.client.interface import Client
from motet.identity import requests
from motet.identity.authority import Authority, covers
from motet.identity.node_files import NodeFiles
from motet.kinds import node
from motet.kinds.constraints import MANAGER_LABEL
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
        if not await _is_member(client, settings.node_name, known):
            context = lifecycle.administrator(machine)
            await joining.join_as_administrator(
                machine.url(settings), context, settings.node_name, settings.address, machine.node_pki
            )
        # No node may say this of itself (NodeRestriction); whoever runs the manager may.
        await client.patch(node.KIND, settings.node_name, {"metadata": {"labels": {MANAGER_LABEL: ""}}})


async def _is_member(client: Client, name: str, uid: str) -> bool:
    with contextlib.suppress(NotFound):
        return bool(uid) and (await client.get(node.KIND, name)).meta.uid == uid
    return False


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
