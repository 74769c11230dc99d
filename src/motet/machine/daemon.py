"""The one process that keeps a machine's manager and agent alive.

It starts both as children, starts either again when it ends, and ends them when told to. Containers are children of
neither: they outlive all three.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from motet.base.clock import SystemClock
from motet.base.errors import MotetError, NotFound, Unavailable
from motet.base.files import write_atomically
from motet.base.supervise import forever
from motet.client.interface import Client
from motet.identity import requests
from motet.identity.authority import Authority, covers
from motet.identity.node_files import NodeFiles
from motet.kinds import node
from motet.kinds.constraints import MANAGER_LABEL
from motet.machine import joining, lifecycle
from motet.machine.layout import Machine, Settings

_log = logging.getLogger(__name__)

_STOP_SECONDS = 20.0
_LOOK_EVERY = 0.2
_LARGEST_LOG = 32 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
# Loaded here: a child between fork and exec should not look for libraries.
_libc = ctypes.CDLL(None)


class _Ended(Exception):
    """A child ended; the supervisor starts it again."""


async def run(machine: Machine, settings: Settings) -> None:
    """Run manager and agent until SIGTERM or SIGINT. Raises MotetError when another daemon does so already."""
    machine.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(machine):
        await _run_alone(machine, settings)


@contextlib.contextmanager
def _alone(machine: Machine) -> Iterator[None]:
    """Nobody else is the daemon of this data directory meanwhile; the kernel forgets it with the process."""
    with machine.lock_file.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MotetError(f"a daemon already looks after {machine.data_dir}; stop it with: motet stop") from None
        yield


async def _run_alone(machine: Machine, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    write_atomically(machine.pid_file, f"{os.getpid()}\n".encode(), mode=0o644)
    parts = [asyncio.create_task(forever("the agent", lambda: _agent(machine, settings), log=_log))]
    if settings.is_manager:
        server = _server(machine, settings)
        parts.append(asyncio.create_task(forever("the manager", lambda: _child(machine, "server", server), log=_log)))
    try:
        await stop.wait()
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        machine.pid_file.unlink(missing_ok=True)


async def _agent(machine: Machine, settings: Settings) -> None:
    if settings.is_manager:
        await _belong(machine, settings)
    await _child(machine, "agent", ("agent", "--data-dir", str(machine.data_dir)))


def _server(machine: Machine, settings: Settings) -> Sequence[str]:
    return (
        "server",
        "--data-dir",
        str(machine.data_dir),
        "--listen",
        f"0.0.0.0:{settings.port}",
        "--advertise",
        settings.address,
        "--pod-network",
        settings.pods,
        "--service-network",
        settings.services,
        "--dns-address",
        settings.dns_address,
        "--node-grace",
        str(settings.node_grace),
        "--audit-log",
        str(machine.logs / "audit.log"),
        "--docker-socket",
        str(machine.docker_socket),
        "--docker-port",
        str(settings.docker_port),
        *(("--legacy-service-account-tokens",) if settings.legacy_tokens else ()),
        *(("--encrypted",) if settings.encrypted else ()),
    )


async def _belong(machine: Machine, settings: Settings) -> None:
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
            await joining.join_as_administrator(
                machine.url(settings),
                lifecycle.administrator(machine),
                settings.node_name,
                settings.address,
                machine.node_pki,
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


async def _child(machine: Machine, name: str, arguments: Sequence[str]) -> None:
    """Run one part to its end; its output goes to a log file of its own."""
    log = machine.logs / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _rotate(log)
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "motet",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_end_with_the_daemon,
        )
    try:
        code = await child.wait()
    except asyncio.CancelledError:
        await _end(child)
        raise
    raise _Ended(f"exited with {code}; see {log}")


def _end_with_the_daemon() -> None:
    """In the child: SIGTERM when the daemon dies, so that the next one never meets a second manager or agent (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), _STOP_SECONDS)
        except TimeoutError:
            child.kill()
            await child.wait()


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
