"""The one process that keeps a machine's manager and agent alive.

It starts both as children, starts either again when it ends, and ends them when told to (`supervisor`). Containers are
children of neither: they outlive all three.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from motet.base import oom
from motet.base.errors import MotetError
from motet.machine import supervisor
from motet.machine.layout import Machine, Settings


def become(machine: Machine, settings: Settings) -> NoReturn:
    """Turn this process into the daemon. Raises MotetError when another one looks after the data directory already."""
    machine.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    _lock(machine)
    _protect()
    command = supervisor.command(machine.data_dir, plan(machine, settings))
    os.execv(command[0], command)


def plan(machine: Machine, settings: Settings) -> supervisor.Plan:
    """The manager, if this machine has one, and the agent."""
    agent = ("agent", "--data-dir", str(machine.data_dir))
    parts = {**({"manager": _server(machine, settings)} if settings.is_manager else {}), "agent": agent}
    programs = tuple(
        supervisor.Program(name, (sys.executable, "-m", "motet", *words), str(machine.logs / f"{words[0]}.log"))
        for name, words in parts.items()
    )
    return supervisor.Plan(str(machine.pid_file), programs)


def _protect() -> None:
    """Manager and agent inherit it: without them nobody is left to help the pods that run out of memory."""
    try:
        oom.protect()
    except PermissionError:
        sys.stderr.write("without CAP_SYS_RESOURCE the kernel may end Motet as soon as any pod when memory runs out\n")


def _lock(machine: Machine) -> None:
    """Nobody else is the daemon of this data directory from now on; the kernel forgets it with the process."""
    lock = os.open(machine.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise MotetError(f"a daemon already looks after {machine.data_dir}; stop it with: motet stop") from None
    os.set_inheritable(lock, True)


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
        ",".join(filter(None, (settings.pods, settings.pods_six))),
        "--service-network",
        ",".join(filter(None, (settings.services, settings.services_six))),
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
