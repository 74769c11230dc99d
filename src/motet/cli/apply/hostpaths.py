"""Directories of this machine that a file binds into containers and that do not exist yet: made, as Compose makes them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from motet.base.errors import MotetError
from motet.cli.compose.model import Project


def make(project: Project) -> list[Path]:
    """Make what is missing; returns what was made, outermost first. Raises MotetError."""
    made: list[Path] = []
    for service in project.services:
        for mount in service.mounts:
            path = Path(mount.source)
            if mount.kind != "bind" or not mount.create or path.exists():
                continue
            missing = [path, *(parent for parent in path.parents if not parent.exists())]
            try:
                path.mkdir(parents=True)
            except OSError as error:
                remove(made)
                raise MotetError(f"service {service.name}: {path} cannot be made: {error.strerror}") from error
            made += reversed(missing)
    return made


def remove(made: Sequence[Path]) -> None:
    """Take back what `make` made and nobody has used."""
    for path in reversed(made):
        with contextlib.suppress(OSError):
            path.rmdir()
