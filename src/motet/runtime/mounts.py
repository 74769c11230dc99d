"""The two system calls about mounts that Python does not have, and the kernel's table of them."""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
from pathlib import Path

_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, options: str = "") -> None:
    """mount(2) without flags. Raises OSError."""
    if _libc.mount(source.encode(), os.fsencode(target), kind.encode(), 0, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def unmount(target: Path) -> None:
    """Take a mount away now, its last user's files later (MNT_DETACH). Raises OSError."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def below(directory: Path, *, table: str | None = None) -> list[Path]:
    """Mount points at or below `directory`, innermost first. `table` is the text of /proc/self/mountinfo."""
    if table is None:
        table = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    found = [Path(_unescape(line.split(" ", 5)[4])) for line in table.splitlines()]
    # Later entries lie over earlier ones at the same place.
    return [point for point in reversed(found) if point.is_relative_to(directory)]


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def unmount_below(directory: Path) -> None:
    """Unmount everything at or below `directory`. Raises OSError."""
    for point in below(directory):
        unmount(point)


def overlay_works(directory: Path) -> bool:
    """Whether overlayfs can be mounted with its layers in `directory` (not on some file systems, not without rights)."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix="probe-") as probe:
        lower, upper, work, merged = (Path(probe, name) for name in ("lower", "upper", "work", "merged"))
        for path in (lower, upper, work, merged):
            path.mkdir()
        try:
            mount("overlay", merged, "overlay", f"lowerdir={lower},upperdir={upper},workdir={work}")
        except OSError:
            return False
        unmount(merged)
        return True
