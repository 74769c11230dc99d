"""The one process that keeps a machine's manager and agent alive.

It starts both as children, starts either again when it ends, and ends them when told to. Containers are children of
neither: they outlive all three.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from motet.base.clock import SystemClock
from motet.base.files import write_atomically
from motet.base.supervise import forever
from motet.cli.machine.layout import Machine, Settings
from motet.identity.authority import NODE_GROUP, NODE_USER_PREFIX, Authority, covers

_log = logging.getLogger(__name__)

_STOP_SECONDS = 20.0
_LARGEST_LOG = 32 * 1024 * 1024


class _Ended(Exception):
    """A child ended; the supervisor starts it again."""


async def run(machine: Machine, settings: Settings) -> None:
    """Run manager and agent until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    machine.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(machine.pid_file, f"{os.getpid()}\n".encode(), mode=0o644)
    parts = [
        asyncio.create_task(
            forever("the manager", lambda: _child(machine, "server", _server(machine, settings)), log=_log)
        ),
        asyncio.create_task(forever("the agent", lambda: _agent(machine, settings), log=_log)),
    ]
    try:
        await stop.wait()
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        machine.pid_file.unlink(missing_ok=True)


async def _agent(machine: Machine, settings: Settings) -> None:
    _node_certificate(machine, settings)
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
    )


def _node_certificate(machine: Machine, settings: Settings) -> None:
    """The agent's own certificate, from the authority of the manager on the same machine. Raises IdentityError."""
    authority = Authority.load(machine.pki)
    certificate, key = machine.node_pki / "node.crt", machine.node_pki / "node.key"
    sans = (settings.address, settings.node_name)
    now = SystemClock().now()
    if not (certificate.exists() and key.exists() and covers(certificate.read_bytes(), sans, by=authority, at=now)):
        authority.issue(NODE_USER_PREFIX + settings.node_name, (NODE_GROUP,), sans=sans).write(machine.node_pki, "node")
    write_atomically(machine.node_pki / "ca.crt", authority.pem, mode=0o644)


async def _child(machine: Machine, name: str, arguments: Sequence[str]) -> None:
    """Run one part to its end; its output goes to a log file of its own."""
    log = machine.logs / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _rotate(log)
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "motet", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        code = await child.wait()
    except asyncio.CancelledError:
        await _end(child)
        raise
    raise _Ended(f"exited with {code}; see {log}")


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
