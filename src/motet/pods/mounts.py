"""mount(2) and umount2(2), without a shell."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND = 2, 4, 8, 4096
_MNT_DETACH = 2


def tmpfs(target: Path, size: int | None, mode: int = 0o777, *, executable: bool = True) -> None:
    """Mount a tmpfs of at most `size` bytes (None: half the memory) on `target`. Raises OSError."""
    options = f"mode={mode:o}" + (f",size={size}" if size is not None else "")
    flags = _MS_NOSUID | _MS_NODEV | (0 if executable else _MS_NOEXEC)
    _mount("tmpfs", target, "tmpfs", flags, options)


def bind(source: Path | str, target: Path) -> None:
    """Make `source` visible at `target`. Raises OSError."""
    _mount(str(source), target, "", _MS_BIND, "")


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    if done != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {kind or source}: {os.strerror(error)}", str(target))


def unmount(target: Path) -> None:
    """Take away whatever is mounted on `target`, even in use; nothing mounted is fine. Raises OSError."""
    while mounted(target):
        if _libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"umount: {os.strerror(error)}", str(target))


def mounted(target: Path) -> bool:
    """Whether something is mounted exactly there."""
    return str(target) in _mount_points()


def below(directory: Path) -> list[Path]:
    """Mount points below `directory`, deepest first."""
    prefix = f"{directory}/"
    return sorted((Path(point) for point in _mount_points() if point.startswith(prefix)), reverse=True)


def _mount_points() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        return [_unescape(line.split()[4]) for line in table]


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
