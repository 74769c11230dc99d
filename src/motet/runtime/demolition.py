"""Taking away what a containerd leaves when it is ended for good. Works on a dead one, so a crash can be cleaned up too.

Processes are found by what they are (a shim serving our socket, the first process of one of our bundles inside its
own cgroup), never by name alone: other containerds live on the same machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from motet.runtime import mounts
from motet.runtime.interface import RuntimeFailure
from motet.runtime.settings import ContainerdConfig

_KILL_SECONDS = 5.0


def bundles(state: Path) -> list[Path]:
    """Directories of the tasks containerd believes to run."""
    return [path for path in state.glob("io.containerd.runtime.v2.task/*/*") if path.is_dir()]


def demolish(config: ContainerdConfig, sockets: Sequence[Path] = ()) -> None:
    """Kill, unmount and delete everything of a containerd that no longer runs, and `sockets`. Raises RuntimeFailure."""
    found = bundles(config.state)
    # Shims first: each would report and clean up the death of its container in its own time.
    _kill(shims(config.socket))
    _kill([pid for bundle in found for pid in _first_processes(bundle)])
    sockets = [*sockets, *shim_sockets(config.state)]
    for directory in (config.state, config.root):
        try:
            mounts.unmount_below(directory)
            if directory.exists():
                shutil.rmtree(directory)
        except OSError as error:
            raise RuntimeFailure(f"cannot remove {directory}: {error}", "LeftBehind") from error
    for path in (config.socket, Path(f"{config.socket}.ttrpc"), *sockets):
        path.unlink(missing_ok=True)


def shims(socket: Path) -> list[int]:
    """Processes of shims that report to the containerd at `socket`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"containerd-shim" in arguments[0] and os.fsencode(socket) in arguments:
            found.append(int(entry.name))
    return found


def _first_processes(bundle: Path) -> list[int]:
    """The container's first process, if it still is in the cgroup that carries the container's id."""
    try:
        pid = int((bundle / "init.pid").read_text())
        return [pid] if bundle.name in Path(f"/proc/{pid}/cgroup").read_text() else []
    except (OSError, ValueError):
        return []


def shim_sockets(state: Path) -> list[Path]:
    """Where the shims listen: outside the state directory, in a place containerd has compiled in."""
    found = []
    for bundle in bundles(state):
        with contextlib.suppress(OSError):
            address = (bundle / "address").read_text()
            if address.startswith("unix:///"):
                found.append(Path(address.removeprefix("unix://")))
    return found


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < deadline and any(_running(pid) for pid in pids):
        time.sleep(0.01)


def _running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
