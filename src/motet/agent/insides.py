"""What lies inside a running container, beyond the kubelet's paths: its processes, signals to it, its files, what it uses.

Docker's users ask for these (`docker top`, `kill`, `cp`, `stats`). They come by the API's own way to nodes
(`/api/v1/nodes/NODE/proxy/...`), whose roles hold. A container is found by its control group, its first process is the oldest
there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from motet.agent import files, machine, processes
from motet.agent.fileroot import Doors
from motet.agent.processes import Process
from motet.base.clock import Clock
from motet.base.errors import BadRequest, Conflict, NotFound
from motet.pods.execute import cgroup_of
from motet.pods.manager import Manager
from motet.pods.spec import Pod
from motet.runtime.cgroups import Cgroups
from motet.runtime.interface import Container, ContainerState

Json = dict[str, Any]

VERBS = frozenset({"processes", "signal", "figures", "files"})


class Insides:
    """Of one node's containers."""

    def __init__(self, manager: Manager, cgroups: Cgroups, clock: Clock, proc: Path = Path("/proc")) -> None:
        self._manager = manager
        self._cgroups = cgroups
        self._clock = clock
        self._proc = proc

    async def serve(self, request: web.BaseRequest, verb: str, pod: Pod, name: str) -> web.StreamResponse:
        """Raises ApiError."""
        container = await self._running(pod, name)
        group = f"{cgroup_of(self._manager.config, pod)}/{container.id}"
        found = await asyncio.to_thread(processes.of, self._cgroups.processes(group), self._proc)
        if not found:
            raise Conflict(f'container "{name}" of pod "{pod.metadata.name}" has no process any more')
        first = found[0].pid
        match verb, request.method:
            case "processes", "GET":
                booted = await asyncio.to_thread(machine.boot_time)
                return _json([{**msgspec.to_builtins(each), "began": booted + each.started} for each in found])
            case "signal", "POST":
                return self._signal(found, request.query)
            case "figures", "GET":
                return _json(await asyncio.to_thread(self._figures, group, first))
            case "files", "GET" | "PUT":
                doors = await asyncio.to_thread(self._doors, group, first)
                try:
                    return await files.serve(request, doors)
                finally:
                    doors.close()
        raise BadRequest(f"{request.method} is not for {verb}")

    async def _running(self, pod: Pod, name: str) -> Container:
        observed = await self._manager.observed(pod)
        found = next((made for made in observed.attempts(name) if made.state is ContainerState.RUNNING), None)
        if found is None:
            raise Conflict(f'container "{name}" of pod "{pod.metadata.name}" is not running')
        return found

    def _doors(self, group: str, pid: int) -> Doors:
        """Raises Conflict. The process is looked for once more afterwards: its number may have become another's before."""
        try:
            doors = Doors.of(pid)
        except OSError as error:
            raise Conflict("the container is not running") from error
        if pid not in self._cgroups.processes(group):
            doors.close()
            raise Conflict("the container is not running")
        return doors

    def _signal(self, found: list[Process], query: Mapping[str, str]) -> web.Response:
        number = signal_of(query.get("signal", ""))
        try:
            os.kill(found[0].pid, number)
        except ProcessLookupError:
            raise NotFound("the container's first process has just ended") from None
        return web.Response()

    def _figures(self, group: str, first: int) -> Json:
        used = self._cgroups.usage(group)
        network: Json = {}
        with contextlib.suppress(OSError):
            network = processes.interfaces((self._proc / str(first) / "net" / "dev").read_text())
        usage = asdict(used) if used is not None else None
        return {"at": self._clock.now().timestamp(), "usage": usage, "interfaces": network}


def signal_of(text: str) -> signal.Signals:
    """`KILL`, `SIGKILL` or `9`. Raises BadRequest."""
    try:
        if text.isdigit():
            return signal.Signals(int(text))
        return signal.Signals[text if text.startswith("SIG") else f"SIG{text}"]
    except (KeyError, ValueError):
        raise BadRequest(f"{text!r} is not a signal") from None


def _json(body: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
