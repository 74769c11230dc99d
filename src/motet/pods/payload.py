"""The files of a volume that comes from the API, written so that a reader sees all of one version or all of another.

`..data` is a symbolic link to the directory of the current version; every visible name links into it. A change writes a new
directory and swaps the one link (kubelet's AtomicWriter layout, which programs rely on).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_DATA = "..data"


@dataclass(frozen=True, slots=True)
class File:
    """`owner` is a uid and `group` a gid; None is root, and the pod's own group where it has one."""

    content: bytes
    mode: int = 0o644
    owner: int | None = None
    group: int | None = None


Payload = Mapping[str, File]
"""Relative path -> file."""


def path_problem(path: str) -> str:
    """Why `path` may not be a file of a volume, or an empty string."""
    if not path or path.startswith("/"):
        return "must be a relative path"
    if ".." in path.split("/"):
        return "must not contain '..'"
    return "must not start with '..'" if path.startswith("..") else ""


def write(directory: Path, payload: Payload, group: int | None = None) -> bool:
    """Make `directory` show `payload`; True when anything changed. `group` may read every file. Raises OSError."""
    current = directory / _DATA
    if current.is_symlink() and _same(current, payload):
        return False
    version = _new_version(directory)
    for name, file in payload.items():
        target = version / name
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(file.content)
        of = group if file.group is None else file.group
        if of is not None or file.owner is not None:
            os.chown(target, -1 if file.owner is None else file.owner, -1 if of is None else of)
        target.chmod(file.mode | (0o440 if group is not None else 0))
    for inner in (version, *(path for path in version.rglob("*") if path.is_dir())):
        if group is not None:
            os.chown(inner, -1, group)
        inner.chmod(0o755)
    old = directory / os.readlink(current) if current.is_symlink() else None
    _link(version.name, current)
    _show(directory, payload)
    if old is not None and old != version:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _same(current: Path, payload: Payload) -> bool:
    present = {str(path.relative_to(current)) for path in current.rglob("*") if path.is_file()}
    return present == set(payload) and all(
        (current / name).read_bytes() == file.content for name, file in payload.items()
    )


def _new_version(directory: Path) -> Path:
    numbers = [int(path.name[2:]) for path in directory.glob("..[0-9]*") if path.name[2:].isdigit()]
    version = directory / f"..{max(numbers, default=0) + 1}"
    version.mkdir(mode=0o755)
    return version


def _link(target: str, at: Path) -> None:
    temporary = at.with_name(f"{at.name}_tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(at)


def _show(directory: Path, payload: Payload) -> None:
    """One visible link per first path segment; links to what is no more go."""
    wanted = {name.split("/", 1)[0] for name in payload}
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    for entry in directory.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
