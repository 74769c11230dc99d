"""What a manager remembers while clients talk to processes: execs, and the terminals that can be resized.

An exec is a few words between two requests, and what became of it for a while after. It is gone with the manager, as Docker's are
gone with the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from motet.dialects.docker.errors import DockerError

_log = logging.getLogger("motet.docker")

_MOST = 4096
_MOST_OF_ONE_USER = 1024
_USUAL = (80, 24)


class Terminal(Protocol):
    """Somewhere a new size can be sent to."""

    async def resize(self, columns: int, rows: int) -> None: ...


@dataclass(slots=True)
class Exec:
    """One command in a container, of the user who asked for it.

    `exit_code` is None until it has ended; `terminal` is there while it runs with one.
    """

    user: str
    container: str
    command: tuple[str, ...]
    shown: dict[str, object]
    tty: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    started: bool = False
    exit_code: int | None = None
    size: tuple[int, int] | None = None
    terminal: Terminal | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(32))

    @property
    def running(self) -> bool:
        return self.started and self.exit_code is None


class Sessions:
    """Of one manager. The oldest execs that do not run are forgotten first; a user has a share of them only."""

    def __init__(self) -> None:
        self._execs: OrderedDict[str, Exec] = OrderedDict()
        # Terminals attached to containers, by the container's identifier, and the last size that was asked for.
        self._terminals: dict[str, set[Terminal]] = {}
        self._sizes: OrderedDict[str, tuple[int, int]] = OrderedDict()
        # What goes on though no client waits for it.
        self._kept: set[asyncio.Task[None]] = set()
        # Who waits at a container for its start, by the container's identifier.
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def keep(self, work: Coroutine[None, None, None]) -> None:
        """Do it beside requests, to its end."""
        task = asyncio.create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._kept.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("what went on beside a request of docker's has failed: %s", error)

    @contextlib.contextmanager
    def waiting(self, container: str) -> Iterator[asyncio.Future[None]]:
        """A future that is done when a start of this container has failed."""
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(container, set()).add(failed)
        try:
            yield failed
        finally:
            failed.cancel()
            self._waiting[container].discard(failed)
            if not self._waiting[container]:
                del self._waiting[container]

    def failed(self, container: str) -> None:
        """Tell those who wait for this container's start that it has failed."""
        for each in self._waiting.get(container, ()):
            if not each.done():
                each.set_result(None)

    async def close(self) -> None:
        """End what is still kept."""
        for task in self._kept:
            task.cancel()
        await asyncio.gather(*self._kept, return_exceptions=True)

    def add(self, made: Exec) -> None:
        """Raises DockerError 429 when its user has as many running as one may have."""
        own = [each for each in self._execs.values() if each.user == made.user]
        if len(own) >= _MOST_OF_ONE_USER:
            idle = next((each for each in own if not each.running), None)
            if idle is None:
                raise DockerError(429, f"{len(own)} commands run already that were begun by {made.user}")
            del self._execs[idle.id]
        self._execs[made.id] = made
        for known in list(self._execs.values()) if len(self._execs) > _MOST else ():
            if not known.running:
                del self._execs[known.id]
            if len(self._execs) <= _MOST:
                return

    def exec(self, identifier: str) -> Exec | None:
        return self._execs.get(identifier)

    def of_container(self, container: str) -> list[str]:
        """Execs that run in a container."""
        return [each.id for each in self._execs.values() if each.container == container and each.running]

    async def attach(self, container: str, terminal: Terminal) -> None:
        """A terminal that follows the container's size from now on, and has the usual one until there is any.

        To be told of a size has a shell show its prompt again, which may have come before us.
        """
        self._terminals.setdefault(container, set()).add(terminal)
        await terminal.resize(*self._sizes.get(container, _USUAL))

    def detach(self, container: str, terminal: Terminal) -> None:
        found = self._terminals.get(container, set())
        found.discard(terminal)
        if not found:
            self._terminals.pop(container, None)

    async def resize(self, container: str, columns: int, rows: int) -> None:
        """Of a container's terminals, those to come included."""
        self._sizes[container] = (columns, rows)
        self._sizes.move_to_end(container)
        while len(self._sizes) > _MOST:
            self._sizes.popitem(last=False)
        for terminal in tuple(self._terminals.get(container, ())):
            await terminal.resize(columns, rows)
