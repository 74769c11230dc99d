"""Processes as `/proc` tells of them (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

_TICKS = os.sysconf("SC_CLK_TCK")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers are the node's own. `started` is in seconds after the machine's start, `cpu` in seconds.

    `tty` is the number of a device, or 0 for none.
    """

    pid: int
    parent: int
    uid: int
    started: float
    cpu: float
    tty: int
    command: str


def of(pids: Iterable[int], proc: Path = Path("/proc")) -> list[Process]:
    """What is known of these processes, the oldest first; those that have ended meanwhile are left out."""
    found = []
    for pid in pids:
        try:
            found.append(_read(pid, proc / str(pid)))
        except (OSError, ValueError, IndexError):
            continue
    return sorted(found, key=lambda process: (process.started, process.pid))


def _read(pid: int, directory: Path) -> Process:
    stat = (directory / "stat").read_text()
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    rest = stat[stat.rindex(")") + 2 :].split()
    words = (directory / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    command = b" ".join(words).decode(errors="replace")
    return Process(
        pid=pid,
        parent=int(rest[1]),
        uid=directory.stat().st_uid,
        started=int(rest[19]) / _TICKS,
        cpu=(int(rest[11]) + int(rest[12])) / _TICKS,
        tty=int(rest[4]),
        command=command or f"[{name}]",
    )


def interfaces(text: str) -> dict[str, Any]:
    """Bytes, packets, errors and drops of every interface but the loopback, from a `net/dev` file."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if (name := name.strip()) == "lo":
            continue
        values = [int(each) for each in numbers.split()]
        found[name] = {
            "rx_bytes": values[0],
            "rx_packets": values[1],
            "rx_errors": values[2],
            "rx_dropped": values[3],
            "tx_bytes": values[8],
            "tx_packets": values[9],
            "tx_errors": values[10],
            "tx_dropped": values[11],
        }
    return found
