"""wireguard-go: started, adopted, told what to do, ended.

It runs detached, in a session of its own, so that traffic goes on while agents come and go; the next agent finds it by its
socket. It has the socket's place compiled in, `/var/run/wireguard`, so it sees a directory of ours there, in a mount
namespace of its own: any number of nodes can share a machine. When it dies the kernel takes its device and the routes with it,
which wakes the loop that has it made again.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
from collections.abc import Sequence

from motet.base import processes
from motet.network.bridge import NetworkError
from motet.network.wireguard import links, uapi
from motet.network.wireguard.config import WireguardConfig
from motet.network.wireguard.decide import Configuration, Remote
from motet.network.wireguard.keys import Pair
from motet.runtime.cgroups import Cgroups
from motet.runtime.settings import PATH

_log = logging.getLogger(__name__)

_START_SECONDS = 10.0
_END_SECONDS = 5.0
_LOOK_EVERY = 0.005
_LONGEST_SOCKET = 107
# Silent this many times in a row while alive: it hangs.
_SILENT_TIMES = 3
_OWN_PLACE = 'mount --bind "$1" /var/run && exec "$2" --foreground "$3"'


def executable() -> str:
    """Where wireguard-go is; empty when it is not installed."""
    return shutil.which("wireguard-go", path=os.pathsep.join((os.environ.get("PATH", ""), PATH))) or ""


class Userspace:
    """The engine."""

    title = "wireguard-go"

    def __init__(self, config: WireguardConfig) -> None:
        self._config = config
        self._child = 0

    def look(self) -> Configuration | None:
        if self._child:
            processes.reap(self._child)
        if links.kind(self._config.device) != "tun":
            return None
        for _ in range(_SILENT_TIMES):
            try:
                return uapi.parse(uapi.ask(self._config.socket, uapi.LOOKING))
            except uapi.Silent:
                continue
            except OSError:
                return None
        _log.error("wireguard-go is alive and silent: killing it")
        processes.end(processes.server_of(self._config.socket), _END_SECONDS, (signal.SIGKILL,))
        return None

    def make(self) -> None:
        config, program = self._config, executable()
        if not program:
            raise NetworkError("wireguard-go is not installed any more; install it with: motet doctor --fix")
        if len(str(config.socket)) > _LONGEST_SOCKET:
            raise NetworkError(f"{config.socket} is too long for a socket: at most {_LONGEST_SOCKET} characters")
        self._end()
        for directory in (config.socket.parent, config.log.parent):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        config.socket.unlink(missing_ok=True)
        environment = {"PATH": PATH, "LOG_LEVEL": "error"}
        inside = ("/bin/sh", "-c", _OWN_PLACE, "sh", str(config.run), program, config.device)
        unshare = shutil.which("unshare", path=PATH)
        if unshare is None:
            raise NetworkError("unshare is not installed (package util-linux)")
        command = (unshare, "--mount", "--propagation=private", *inside)
        try:
            self._child = processes.spawn_detached(command, config.log, environment)
        except OSError as error:
            raise NetworkError(f"wireguard-go cannot be started: {error}") from error
        Cgroups().place(config.cgroup, self._child)
        deadline = time.monotonic() + _START_SECONDS
        while not (processes.server_of(config.socket) and links.kind(config.device)):
            if not processes.alive(self._child) or time.monotonic() > deadline:
                raise NetworkError(f"wireguard-go does not start: {self._last_words()}")
            time.sleep(_LOOK_EVERY)

    def remove(self) -> None:
        links.remove(self._config.device)
        self._end()

    def configure(self, pair: Pair, port: int) -> None:
        self._tell(uapi.configuring(pair, port))

    def change(self, forget: Sequence[str], learn: Sequence[Remote]) -> None:
        self._tell(uapi.changing(forget, learn))

    def greet(self, remotes: Sequence[Remote]) -> None:
        self._tell(uapi.greeting(remotes))

    def _tell(self, operation: bytes) -> None:
        try:
            uapi.ask(self._config.socket, operation)
        except OSError as error:
            raise NetworkError(f"wireguard-go cannot be told: {error}") from error

    def _end(self) -> None:
        """End whoever serves the socket, if anybody does, and the one this process has started."""
        end(self._config)
        processes.end(self._child, _END_SECONDS)
        self._child = 0

    def _last_words(self) -> str:
        try:
            lines = self._config.log.read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        return f"{(lines or ['its log is empty'])[-1]} (more in {self._config.log})"


def end(config: WireguardConfig) -> None:
    """End the wireguard-go of this configuration, if there is one, and what it leaves in the file system."""
    processes.end(processes.server_of(config.socket), _END_SECONDS)
    config.socket.unlink(missing_ok=True)
