"""Which ports of this node belong to processes of its own (proc(5), net/tcp and net/udp)."""

from __future__ import annotations

from pathlib import Path

_LISTENING = "0A"
# An unconnected UDP socket has no state of its own; it shows as closed.
_UNCONNECTED = "07"


def listening(proc: Path = Path("/proc/thread-self/net")) -> set[tuple[str, int]]:
    """(protocol, port) of every socket that waits for others to begin, on whatever address."""
    found = set()
    for name, state in (("tcp", _LISTENING), ("tcp6", _LISTENING), ("udp", _UNCONNECTED), ("udp6", _UNCONNECTED)):
        try:
            lines = (proc / name).read_text().splitlines()[1:]
        except OSError:  # a kernel without IPv6
            continue
        for line in lines:
            _, local, remote, status, *_ = line.split()
            if status == state and remote.endswith(":0000"):
                found.add((name.removesuffix("6"), int(local.rpartition(":")[2], 16)))
    return found
