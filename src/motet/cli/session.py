"""A verb's connection to this machine's cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from motet.base.errors import MotetError, Unavailable
from motet.client.remote import RemoteClient
from motet.machine import lifecycle
from motet.machine.layout import Machine, Settings
from motet.runtime.settings import ContainerdConfig

Result = TypeVar("Result")

NOT_RUNNING = "Motet does not run on this machine; start it with: motet up FILE"


@asynccontextmanager
async def connected(data_dir: Path) -> AsyncIterator[RemoteClient]:
    """The administrator's client. Raises MotetError with the next step when there is no cluster to talk to."""
    machine = Machine(data_dir)
    try:
        settings = machine.settings()
        if settings is None:
            raise MotetError(NOT_RUNNING)
        if not settings.is_manager:
            raise MotetError(lifecycle.only_a_worker(settings))
        client = lifecycle.connect(machine, settings)
    except PermissionError:
        lifecycle.require_root()
        raise
    except OSError:
        raise MotetError(NOT_RUNNING) from None
    try:
        yield client
    except Unavailable as error:
        if lifecycle.running(machine):
            raise
        raise MotetError(f"{NOT_RUNNING} ({error.message})") from error
    finally:
        await client.close()


def managed(data_dir: Path) -> tuple[Machine, Settings]:
    """This machine, for a verb that works on the manager's own files. Raises MotetError unless it is a manager and we are root."""
    lifecycle.require_root()
    machine = Machine(data_dir)
    settings = machine.settings()
    if settings is None:
        raise MotetError(NOT_RUNNING)
    if not settings.is_manager:
        raise MotetError(lifecycle.only_a_worker(settings))
    return machine, settings


def containerd_socket(machine: Machine) -> Path:
    """Where the node's containerd listens."""
    return ContainerdConfig.below(machine.agent_dir, machine.run_dir, cgroup_root=machine.cgroup_root).socket


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a verb's work to its end."""
    return asyncio.run(work)
