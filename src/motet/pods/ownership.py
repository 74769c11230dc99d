"""Giving a volume to the group of its pod (`securityContext.fsGroup`)."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def give(path: Path, group: int | None, *, always: bool = True) -> None:
    """Group ownership all the way down; new files inherit it. Raises OSError.

    Unless `always`, a volume whose root looks right already is left alone, however much there is in it.
    """
    if group is None:
        return
    found = path.stat()
    if not always and found.st_gid == group and found.st_mode & stat.S_ISGID:
        return
    for directory, _, names in os.walk(path):
        for name in names:
            inner = Path(directory) / name
            os.chown(inner, -1, group, follow_symlinks=False)
            if not inner.is_symlink():
                inner.chmod(stat.S_IMODE(inner.stat().st_mode) | 0o660)
        os.chown(directory, -1, group)
        Path(directory).chmod(stat.S_IMODE(Path(directory).stat().st_mode) | 0o2770)
