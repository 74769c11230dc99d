"""The machine as it is: what a Node document says of it, read from /proc and /etc."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the agent runs. Memory and storage in bytes."""

    cpus: int
    memory: int
    storage: int
    machine_id: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Load:
    """What does: bytes free, and processes against the most there can be."""

    memory_available: int
    memory: int
    pids: int
    pids_limit: int


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def look(data_dir: Path) -> Machine:
    """Read the machine's facts; `data_dir` is on the file system that counts as the node's storage."""
    disk = os.statvfs(data_dir)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=_meminfo().get("MemTotal", 0),
        storage=disk.f_blocks * disk.f_frsize,
        machine_id=_first_line("/etc/machine-id"),
        boot_id=_first_line("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_image(),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system: bytes and files, what is free for us and what there is."""

    available: int
    capacity: int
    inodes_free: int
    inodes: int


def disk(directory: Path) -> Disk:
    """The file system of a directory. Raises OSError."""
    found = os.statvfs(directory)
    size = found.f_frsize
    return Disk(found.f_bavail * size, found.f_blocks * size, found.f_favail, found.f_files)


def load() -> Load:
    """Read how the machine is doing."""
    processes = _first_line("/proc/loadavg").split()
    memory = _meminfo()
    return Load(
        memory_available=memory.get("MemAvailable", 0),
        memory=memory.get("MemTotal", 0),
        pids=int(processes[3].split("/")[1]) if len(processes) > 3 else 0,
        pids_limit=int(_first_line("/proc/sys/kernel/pid_max") or "0"),
    )


def used() -> tuple[int, int]:
    """(nanoseconds of processor time since the start, bytes of memory in use without what could go at once)."""
    fields = [int(number) for number in _first_line("/proc/stat").split()[1:9]]
    ticks = sum(fields) - sum(fields[3:5])
    memory = _meminfo()
    in_use = memory.get("MemTotal", 0) - memory.get("MemFree", 0) - memory.get("Inactive(file)", 0)
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK"), max(0, in_use - memory.get("SReclaimable", 0))


def boot_time() -> float:
    """When the machine was started, in epoch seconds (proc(5), stat)."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "btime":
            return float(value)
    return 0.0


def _meminfo() -> dict[str, int]:
    values = {}
    with open("/proc/meminfo", encoding="ascii") as table:
        for line in table:
            name, rest = line.split(":", 1)
            number, *unit = rest.split()
            values[name] = int(number) * (1024 if unit else 1)
    return values


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().split("\n", 1)[0].strip()
    except OSError:
        return ""


def _os_image() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "Linux"
    return release.get("PRETTY_NAME", "Linux")
