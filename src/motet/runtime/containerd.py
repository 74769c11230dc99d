"""Motet's own containerd: started, adopted, kept alive, taken away.

containerd runs detached, in a session and a cgroup of its own, and outlives the agent: pods do not notice an agent's
upgrade or crash. A new agent adopts the containerd it finds answering on the socket if that runs on the configuration
this agent would write, and otherwise restarts it, which pods do not notice either, because every pod hangs on
its own shim. `destroy` is the way back: afterwards no process, mount, namespace, cgroup or file is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import NoReturn

from motet.base import processes
from motet.base.clock import Clock, SystemClock
from motet.base.files import keep
from motet.runtime import demolition, images, pause, settings
from motet.runtime.cgroups import Cgroups
from motet.runtime.cri import CriRuntime
from motet.runtime.interface import RuntimeFailure, RuntimeUnavailable
from motet.runtime.settings import ContainerdConfig

log = logging.getLogger(__name__)

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 15.0
_HEALTH_SECONDS = 10.0
# Silent this many times in a row while alive: it hangs.
_SILENT_TIMES = 6
_TERMINATE_SECONDS = 10.0


class Containerd:
    """One containerd. `ensure` makes it run, `run` keeps it running, `stop` and `destroy` end it."""

    def __init__(self, config: ContainerdConfig, *, clock: Clock | None = None) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        self._lock = asyncio.Lock()
        self._cgroups = Cgroups(config.cgroup_mount)

    @property
    def pid(self) -> int:
        """The process that serves the socket now, 0 for none."""
        return processes.server_of(self.config.socket)

    async def ensure(self) -> None:
        """Return when containerd answers and has the pause image; start or restart it if it must be.

        Raises RuntimeFailure saying what is missing, or quoting the end of containerd's log.
        """
        async with self._lock:
            facts = await asyncio.to_thread(settings.observe, self.config)
            text = settings.render(self.config, facts)
            pid = self.pid
            if pid and self._text_on_disk() == text:
                await self._until_answering(pid)
            else:
                if pid:
                    log.info("containerd (process %d) runs on another configuration: restarting it", pid)
                    await self._end(pid)
                try:
                    await asyncio.to_thread(self._prepare, text)
                except OSError as error:
                    raise RuntimeFailure(f"containerd cannot be set up: {error}") from error
                pid = self._spawn()
                await self._until_answering(pid)
                log.info("containerd runs as process %d", pid)
            await self._have_pause_image()

    async def run(self) -> NoReturn:
        """Keep containerd alive until cancelled (which leaves it running)."""
        delay = _FIRST_DELAY
        while True:
            began = self._clock.monotonic()
            try:
                await self.ensure()
                if pid := self.pid:
                    await self._until_dead(pid)
                log.warning("containerd is gone; starting it again")
            except RuntimeFailure as error:
                log.error("containerd does not start: %s", error)
            if self._clock.monotonic() - began > 60:
                delay = _FIRST_DELAY
            await self._clock.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    async def stop(self, *, kill_pods: bool = False) -> None:
        """End containerd. Pods run on unless `kill_pods`, which stops and removes them first."""
        async with self._lock:
            if kill_pods and self.pid:
                try:
                    await self._remove_pods()
                except RuntimeFailure as error:
                    log.warning("pods run on: %s", error)
            if pid := self.pid:
                await self._end(pid)

    async def destroy(self) -> None:
        """Leave nothing: pods, shims, mounts, network namespaces, cgroups, root and state directories.

        The directories of CNI configurations and registries and the log file stay, unless they lie below `root`.
        Raises RuntimeFailure naming what could not be removed.
        """
        # Restarted over dead shims, containerd would forget where their sockets are.
        sockets = demolition.shim_sockets(self.config.state)
        if demolition.bundles(self.config.state):
            await self._remove_pods_surely()
        await self.stop()
        await asyncio.to_thread(demolition.demolish, self.config, sockets)
        await self._remove_cgroups()

    # -- starting --------------------------------------------------------------------------------------------------

    def _text_on_disk(self) -> str:
        try:
            return self.config.file.read_text()
        except OSError:
            return ""

    def _prepare(self, text: str) -> None:
        config = self.config
        for directory in (config.root, config.state, config.socket.parent, config.cni_conf_dir, config.registry_dir):
            directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        config.log_file.parent.mkdir(parents=True, exist_ok=True)
        keep(config.file, text.encode())
        # A file left by a killed one; nobody listens, or it would have been adopted.
        config.socket.unlink(missing_ok=True)

    def _spawn(self) -> int:
        """Start containerd in its own session; it is nobody's child once this process ends."""
        executable = shutil.which(self.config.executable, path=f"{os.environ.get('PATH', '')}:{settings.PATH}")
        if executable is None:
            raise RuntimeFailure(f"{self.config.executable} is not installed (package containerd)", "NotInstalled")
        environment = {key: value for key, value in os.environ.items() if key not in ("NOTIFY_SOCKET", "LISTEN_FDS")}
        environment["PATH"] = f"{Path(executable).parent}:{settings.PATH}"
        command = [*self.config.launcher, executable, "--config", str(self.config.file)]
        pid = processes.spawn_detached(command, self.config.log_file, environment)
        self._cgroups.place(f"{self.config.cgroup_root}/system", pid)
        return pid

    async def _until_answering(self, pid: int) -> None:
        """Return when both containerd and its CRI plugin answer."""
        began = self._clock.monotonic()
        runtime = CriRuntime(self.config.socket)
        try:
            while True:
                try:
                    # Its version CRI tells before it is ready to be asked anything else.
                    await runtime.sandboxes()
                    return
                except RuntimeUnavailable as error:
                    problem = str(error)
                except RuntimeFailure as error:
                    if error.reason == "Unimplemented":
                        raise RuntimeFailure(f"containerd runs without its CRI plugin: {self._last_words()}") from error
                    problem = str(error)
                if not processes.alive(pid):
                    raise RuntimeFailure(f"containerd ended at once: {self._last_words()}", "RuntimeDied")
                if self._clock.monotonic() - began > self.config.start_seconds:
                    raise RuntimeUnavailable(
                        f"containerd does not answer after {self.config.start_seconds:g} s ({problem}): "
                        f"{self._last_words()}"
                    )
                await self._clock.sleep(0.02)
        finally:
            await runtime.close()

    def _last_words(self) -> str:
        """The last complaint in containerd's log."""
        try:
            with self.config.log_file.open("rb") as file:
                file.seek(max(0, self.config.log_file.stat().st_size - 16384))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        grave = [
            line for line in lines if "level=fatal" in line or "level=error" in line or line.startswith("containerd:")
        ]
        return (grave or lines or ["its log is empty"])[-1] + f" (more in {self.config.log_file})"

    async def _have_pause_image(self) -> None:
        """Import the pause image unless it is there. Somebody else's is CRI's to pull."""
        if self.config.sandbox_image != pause.REFERENCE:
            return
        runtime = CriRuntime(self.config.socket)
        try:
            if await runtime.image(pause.REFERENCE) is None:
                with tempfile.NamedTemporaryFile(dir=self.config.root, suffix=".tar") as file:
                    file.write(pause.archive())
                    file.flush()
                    await runtime.import_image(file.name, labels=images.PINNED)
        finally:
            await runtime.close()

    # -- watching and ending ---------------------------------------------------------------------------------------

    async def _until_dead(self, pid: int) -> None:
        """Return when process `pid` has ended, by itself or because it hung and was killed."""
        silent = 0
        async with processes.death_of(pid) as died:
            while not died.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_HEALTH_SECONDS):
                        await died.wait()
                if died.is_set():
                    return
                silent = 0 if await self._answers() else silent + 1
                if silent >= _SILENT_TIMES:
                    log.error("containerd (process %d) is alive and silent: killing it", pid)
                    processes.send(pid, signal.SIGKILL)

    async def _answers(self) -> bool:
        runtime = CriRuntime(self.config.socket)
        try:
            await runtime.version()
        except RuntimeFailure:
            return False
        finally:
            await runtime.close()
        return True

    async def _end(self, pid: int) -> None:
        """Ask `pid` to go, then make it."""
        async with processes.death_of(pid) as died:
            for number in (signal.SIGTERM, signal.SIGKILL):
                processes.send(pid, number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TERMINATE_SECONDS):
                        await died.wait()
                    return
        raise RuntimeFailure(f"containerd (process {pid}) cannot be killed")

    async def _remove_pods(self) -> None:
        """Stop and remove every pod that can be. Raises RuntimeFailure when containerd does not even list them."""
        runtime = CriRuntime(self.config.socket)
        slots = asyncio.Semaphore(4)

        async def remove(sandbox_id: str) -> None:
            async with slots:
                try:
                    await runtime.stop_sandbox(sandbox_id)
                    await runtime.remove_sandbox(sandbox_id)
                except RuntimeFailure as error:
                    log.warning("%s", error)

        try:
            await asyncio.gather(*(remove(sandbox.id) for sandbox in await runtime.sandboxes()))
        finally:
            await runtime.close()

    async def _remove_pods_surely(self) -> None:
        """Remove the pods in order, starting containerd for it: only it can have the CNI plugins free the addresses.

        It may be dying while we ask, hence the second try.
        """
        for _ in range(2):
            try:
                await self.ensure()
                await self._remove_pods()
                return
            except RuntimeFailure as error:
                log.warning("pods cannot be stopped in order: %s", error)

    async def _remove_cgroups(self) -> None:
        for name in ("pods", "system"):
            await self._cgroups.remove(f"{self.config.cgroup_root}/{name}", clock=self._clock)
        # Somebody else may live in the root (the agent itself); the last one out removes it.
        self._cgroups.remove_if_empty(self.config.cgroup_root)
