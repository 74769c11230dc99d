"""Processes that outlive the one that starts them: started in a session of their own, found again, waited for, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path


def spawn_detached(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Start `command` (its first word is a path) in a session of its own, with its output appended to `log`; its pid.

    It is nobody's child once this process ends. Raises OSError.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return os.posix_spawn(
            "/bin/sh",
            # The working directory must not keep a file system of ours busy.
            ["sh", "-c", 'cd / && exec "$@"', "sh", *command],
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGTERM, signal.SIGINT),
        )
    finally:
        os.close(null)
        os.close(output)


def server_of(path: Path) -> int:
    """The process listening on a unix socket, 0 when nobody is (SO_PEERCRED of a fresh connection, unix(7))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(path))
        except OSError:
            return 0
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    return int(struct.unpack("iII", credentials)[0])


def reap(pid: int) -> None:
    """Collect `pid` if it is a dead child of ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def alive(pid: int) -> bool:
    """Whether process `pid` exists; a dead child of ours is collected first."""
    reap(pid)
    return Path(f"/proc/{pid}").exists()


def send(pid: int, number: int) -> None:
    """Send a signal; a process that is gone is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def end(
    pid: int, seconds: float, signals: Sequence[int] = (signal.SIGTERM, signal.SIGKILL), every: float = 0.005
) -> None:
    """Send one signal after the other, waiting up to `seconds` after each, until the process has ended; 0 is no process."""
    for number in signals if pid else ():
        send(pid, number)
        deadline = time.monotonic() + seconds
        while alive(pid):
            if time.monotonic() > deadline:
                break
            time.sleep(every)
        else:
            return


@asynccontextmanager
async def death_of(pid: int) -> AsyncIterator[asyncio.Event]:
    """An event that is set when process `pid` has ended (pidfd_open(2))."""
    died = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        reap(pid)
        died.set()
        yield died
        return

    def on_death() -> None:
        loop.remove_reader(handle)
        reap(pid)
        died.set()

    loop.add_reader(handle, on_death)
    try:
        yield died
    finally:
        loop.remove_reader(handle)
        os.close(handle)
