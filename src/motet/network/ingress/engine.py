"""Caddy: started, adopted, told what to serve, ended.

It runs detached, in a session of its own, so that connections go on while agents come and go; the next agent finds it by its
socket. It runs as a user nobody else is, with the one capability that low ports need.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from motet.base import oom, processes
from motet.base.clock import Clock
from motet.base.errors import MotetError
from motet.base.files import write_atomically
from motet.network.ingress.config import IngressConfig
from motet.runtime.cgroups import Cgroups
from motet.runtime.settings import PATH

INSTALL = "Caddy is not installed; install it with: pip install 'motet[ingress]'"
# A number that no distribution gives to anybody (systemd keeps the range for services that have no user of their own).
_USER = 61843
_START_SECONDS = 15.0
_LOAD_SECONDS = 30.0
_END_SECONDS = 12.0
_LOOK_EVERY = 0.02


class EngineFailure(MotetError):
    """Caddy cannot be started, or does not take what it is told."""


def executable() -> str:
    """Where Caddy is: beside this interpreter or on the path; empty when it is not installed."""
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", ""), PATH)
    return shutil.which("caddy", path=os.pathsep.join(places)) or ""


class Caddy:
    """The one of this node."""

    def __init__(self, config: IngressConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    async def pid(self) -> int:
        """The process that answers, 0 for none."""
        return await asyncio.to_thread(processes.server_of, self._config.socket)

    async def load(self, configuration: dict[str, Any]) -> None:
        """Serve this from now on; connections that are open are served to their end. Raises EngineFailure."""
        if not await self.pid():
            await self._start(configuration["admin"])
        connector = aiohttp.UnixConnector(path=str(self._config.socket))
        timeout = aiohttp.ClientTimeout(total=_LOAD_SECONDS)
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                answer = await session.post(
                    "http://caddy/load",
                    data=msgspec.json.encode(configuration),
                    headers={"Content-Type": "application/json"},
                )
                if answer.status != 200:
                    raise EngineFailure(_reason(await answer.read()))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineFailure(f"Caddy does not answer: {error}") from error

    async def _start(self, admin: dict[str, Any]) -> None:
        pid = await asyncio.to_thread(self._spawn, admin)
        deadline = self._clock.monotonic() + _START_SECONDS
        while not await self.pid():
            if not processes.alive(pid) or self._clock.monotonic() > deadline:
                raise EngineFailure(f"Caddy does not start: {self._last_words()}")
            await self._clock.sleep(_LOOK_EVERY)

    def _spawn(self, admin: dict[str, Any]) -> int:
        config, program = self._config, executable()
        setpriv = shutil.which("setpriv", path=PATH)
        if not program or setpriv is None:
            raise EngineFailure(INSTALL if not program else "setpriv is not installed (package util-linux)")
        try:
            config.run.mkdir(parents=True, exist_ok=True, mode=0o700)
            config.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            config.socket.unlink(missing_ok=True)
            first = config.run / "first.json"
            write_atomically(first, msgspec.json.encode({"admin": admin}), mode=0o600)
            for path in (config.run, first):
                os.chown(path, _USER, _USER)
            environment = {"PATH": PATH, "HOME": str(config.run), "XDG_DATA_HOME": str(config.run)}
            low_ports = ("--inh-caps=-all,+net_bind_service", "--ambient-caps=-all,+net_bind_service")
            caps = (*low_ports, "--bounding-set=-all,+net_bind_service", "--no-new-privs")
            user = (f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups")
            command = (setpriv, *user, *caps, program, "run", "--config", str(first))
            pid = processes.spawn_detached(oom.ordinary(command), config.log, environment)
        except OSError as error:
            raise EngineFailure(f"Caddy cannot be started: {error}") from error
        Cgroups().place(config.cgroup, pid)
        return pid

    async def end(self) -> None:
        """End it, if it runs."""
        await asyncio.to_thread(end, self._config)

    def _last_words(self) -> str:
        try:
            lines = self._config.log.read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        return f"{(lines or ['its log is empty'])[-1]} (more in {self._config.log})"


def end(config: IngressConfig) -> None:
    """End the Caddy of this configuration, if there is one, and what it leaves in the file system."""
    pid = processes.server_of(config.socket)
    if pid:
        processes.end(pid, _END_SECONDS, (signal.SIGTERM, signal.SIGKILL))
    shutil.rmtree(config.run, ignore_errors=True)


def _reason(body: bytes) -> str:
    """The words in `{"error": "..."}`."""
    try:
        return str(msgspec.json.decode(body)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace") or "Caddy refuses without a word"
