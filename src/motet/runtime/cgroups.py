"""Control groups of pods: made, limited, read and removed. Version 1 (also in hybrid mode) and version 2.

The container runtime makes a group per container below its pod's, and never removes the pod's; CRI has no field
for a pod's own limits or its number of processes. So the pod's group is the agent's. Usage is read here too:
asking CRI for statistics costs milliseconds of processor time per container.

Paths are as in `cgroup_parent`: absolute below the hierarchy's mount (`/motet/pods/burstable/pod123`).
Follows the kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from motet.base.clock import Clock, SystemClock
from motet.runtime.interface import RuntimeFailure

_V1_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "blkio")
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
_REMOVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a group; None leaves a value as it is, 0 means unlimited. `cpu_quota` is microseconds per `cpu_period`."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int = 100_000
    memory: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a group and everything below it: nanoseconds, bytes, counts.

    `working_set` is memory without file cache that could go at once, what eviction and `top` look at.
    """

    cpu: int = 0
    memory: int = 0
    working_set: int = 0
    pids: int = 0
    oom_kills: int = 0
    throttled: int = 0


class Cgroups:
    """The machine's control groups, mounted at `mount`."""

    def __init__(self, mount: Path = Path("/sys/fs/cgroup")) -> None:
        self._mount = mount
        self.version = 2 if (mount / "cgroup.controllers").exists() else 1

    def create(self, path: str, limits: Limits = Limits()) -> None:
        """Make the group (and its parents) or change the limits of the one there is. Raises RuntimeFailure."""
        try:
            if self.version == 2:
                self._delegate(path)
            for directory in self.homes(path):
                directory.mkdir(parents=True, exist_ok=True)
            for file, value in self._settings(limits):
                target = self._file(path, file)
                if target.parent.exists():
                    target.write_text(value)
        except OSError as error:
            raise RuntimeFailure(f"cannot set up control group {path}: {error}", "CgroupFailed") from error

    def exists(self, path: str) -> bool:
        return any(directory.exists() for directory in self._everywhere(path))

    def children(self, path: str) -> set[str]:
        """Names of the groups directly below `path`, in any hierarchy."""
        return {
            entry.name
            for directory in self._everywhere(path)
            if directory.exists()
            for entry in directory.iterdir()
            if entry.is_dir()
        }

    def processes(self, path: str) -> set[int]:
        """Processes in the group and below it."""
        found: set[int] = set()
        for directory in self._everywhere(path):
            for group in _tree(directory):
                with contextlib.suppress(OSError):
                    found.update(map(int, (group / "cgroup.procs").read_text().split()))
        return found

    def place(self, path: str, pid: int) -> None:
        """Move a process into the group, which is made. Raises RuntimeFailure."""
        self.create(path)
        for directory in self.homes(path):
            try:
                (directory / "cgroup.procs").write_text(str(pid))
            except ProcessLookupError:
                return
            except OSError as error:
                raise RuntimeFailure(f"cannot move process {pid} into {path}: {error}", "CgroupFailed") from error

    async def remove(self, path: str, *, clock: Clock | None = None) -> None:
        """Kill what is in the group and below, and remove all of it. Nothing happens when it is not there.

        This process itself is spared. Raises RuntimeFailure when the group still is in use after 5 s.
        """
        clock = clock or SystemClock()
        began = clock.monotonic()
        while self.exists(path):
            problem = self._try_remove(path)
            if not problem:
                return
            if clock.monotonic() - began > _REMOVE_SECONDS:
                raise RuntimeFailure(f"cannot remove control group {path}: {problem}", "LeftBehind")
            for pid in self.processes(path) - {os.getpid()}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await clock.sleep(0.02)

    def remove_if_empty(self, path: str) -> None:
        """Remove the group where it has neither processes nor groups below."""
        for directory in self._everywhere(path):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def usage(self, path: str) -> Usage | None:
        """What the group uses now; None when it does not exist."""
        return self._usage_v2(path) if self.version == 2 else self._usage_v1(path)

    def consumed(self, path: str) -> tuple[int, int] | None:
        """(nanoseconds of processor time so far, bytes of working set) of the group; None when it does not exist.

        The two that are asked for often, with as few reads as there can be.
        """
        if self.version == 2:
            cpu = _field(self._file(path, "cpu.stat"), "usage_usec")
            memory = _number(self._file(path, "memory.current"))
            inactive = _field(self._file(path, "memory.stat"), "inactive_file")
            cpu = None if cpu is None else cpu * 1000
        else:
            cpu = _number(self._file(path, "cpuacct/cpuacct.usage"))
            memory = _number(self._file(path, "memory/memory.usage_in_bytes"))
            inactive = _field(self._file(path, "memory/memory.stat"), "total_inactive_file")
        if cpu is None and memory is None:
            return None
        return cpu or 0, max(0, (memory or 0) - (inactive or 0))

    # -- where things are ------------------------------------------------------------------------------------------

    def _hierarchies(self) -> list[Path]:
        if self.version == 2:
            return [self._mount]
        return [path for path in self._mount.iterdir() if path.is_dir() and not path.is_symlink()]

    def _everywhere(self, path: str) -> list[Path]:
        """The group's directory in every hierarchy: the runtime makes it in all of them."""
        return [hierarchy / path.lstrip("/") for hierarchy in self._hierarchies()]

    def homes(self, path: str) -> list[Path]:
        """The group's directory in the hierarchies Motet itself writes to: whoever is in all of them is in the group."""
        if self.version == 2:
            return [self._mount / path.lstrip("/")]
        return [
            self._mount / controller / path.lstrip("/")
            for controller in _V1_CONTROLLERS
            if (self._mount / controller).exists()
        ]

    def _file(self, path: str, file: str) -> Path:
        """`controller/name` in version 1, `name` in version 2."""
        controller, _, name = file.rpartition("/")
        return self._mount / controller / path.lstrip("/") / name

    def _delegate(self, path: str) -> None:
        """Version 2: every ancestor must pass the controllers on."""
        available = (self._mount / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{name}" for name in _V2_CONTROLLERS if name in available)
        directory = self._mount
        for part in path.strip("/").split("/"):
            (directory / "cgroup.subtree_control").write_text(wanted)
            directory = directory / part
            directory.mkdir(exist_ok=True)

    def _settings(self, limits: Limits) -> Iterator[tuple[str, str]]:
        if self.version == 2:
            yield from _settings_v2(limits)
        else:
            yield from _settings_v1(limits)

    def _try_remove(self, path: str) -> str:
        """Remove the group everywhere, innermost first; returns what is in the way, or nothing."""
        problem = ""
        for directory in self._everywhere(path):
            for group in reversed(list(_tree(directory))):
                try:
                    group.rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                        raise RuntimeFailure(f"cannot remove control group {group}: {error}", "LeftBehind") from error
                    problem = f"{group} is in use"
        return problem

    # -- reading ---------------------------------------------------------------------------------------------------

    def _usage_v1(self, path: str) -> Usage | None:
        cpu = _number(self._file(path, "cpuacct/cpuacct.usage"))
        memory = _number(self._file(path, "memory/memory.usage_in_bytes"))
        if cpu is None and memory is None:
            return None
        stat = _table(self._file(path, "memory/memory.stat"))
        return Usage(
            cpu=cpu or 0,
            memory=memory or 0,
            working_set=max(0, (memory or 0) - stat.get("total_inactive_file", 0)),
            pids=_number(self._file(path, "pids/pids.current")) or 0,
            oom_kills=_table(self._file(path, "memory/memory.oom_control")).get("oom_kill", 0),
            throttled=_table(self._file(path, "cpu/cpu.stat")).get("throttled_time", 0),
        )

    def _usage_v2(self, path: str) -> Usage | None:
        if not self._file(path, "cgroup.procs").exists():
            return None
        cpu = _table(self._file(path, "cpu.stat"))
        memory = _number(self._file(path, "memory.current")) or 0
        stat = _table(self._file(path, "memory.stat"))
        return Usage(
            cpu=cpu.get("usage_usec", 0) * 1000,
            memory=memory,
            working_set=max(0, memory - stat.get("inactive_file", 0)),
            pids=_number(self._file(path, "pids.current")) or 0,
            oom_kills=_table(self._file(path, "memory.events")).get("oom_kill", 0),
            throttled=cpu.get("throttled_usec", 0) * 1000,
        )


def weight(shares: int) -> int:
    """Version 2's cpu.weight (1 to 10000) for version 1's cpu.shares (2 to 262144), the mapping OCI runtimes use."""
    return 1 + (min(max(shares, 2), 262_144) - 2) * 9999 // 262_142


def _settings_v1(limits: Limits) -> Iterator[tuple[str, str]]:
    if limits.cpu_shares is not None:
        yield "cpu/cpu.shares", str(max(2, limits.cpu_shares))
    if limits.cpu_quota is not None:
        yield "cpu/cpu.cfs_period_us", str(limits.cpu_period)
        yield "cpu/cpu.cfs_quota_us", str(limits.cpu_quota or -1)
    if limits.memory is not None:
        yield "memory/memory.limit_in_bytes", str(limits.memory or -1)
    if limits.pids is not None:
        yield "pids/pids.max", str(limits.pids or "max")


def _settings_v2(limits: Limits) -> Iterator[tuple[str, str]]:
    if limits.cpu_shares is not None:
        yield "cpu.weight", str(weight(limits.cpu_shares))
    if limits.cpu_quota is not None:
        yield "cpu.max", f"{limits.cpu_quota or 'max'} {limits.cpu_period}"
    if limits.memory is not None:
        yield "memory.max", str(limits.memory or "max")
    if limits.pids is not None:
        yield "pids.max", str(limits.pids or "max")


def _tree(directory: Path) -> Iterator[Path]:
    """The group and all groups below it, outermost first."""
    if not directory.is_dir():
        return
    yield directory
    with contextlib.suppress(OSError):
        for entry in sorted(directory.iterdir()):
            if entry.is_dir():
                yield from _tree(entry)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _field(file: Path, name: str) -> int | None:
    """One number of a file of `key number` lines."""
    try:
        text = file.read_text()
    except OSError:
        return None
    at = text.find(f"{name} ") if text.startswith(f"{name} ") else text.find(f"\n{name} ") + 1
    return int(text[at + len(name) :].split(maxsplit=1)[0]) if at > 0 or text.startswith(f"{name} ") else None


def _table(file: Path) -> dict[str, int]:
    """A file of `key number` lines."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
