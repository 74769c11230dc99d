"""Build contexts: a tar file from outside becomes a folder, and nothing beside it."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from motet.base.errors import BadRequest


def unpack(archive: Path, directory: Path) -> None:
    """The files of a tar, compressed in whatever way, below the new `directory`.

    Raises BadRequest for what is none or leads outside. Links may point anywhere, as in any context; nothing is written
    through them.
    """
    directory.mkdir()
    root = os.path.realpath(directory)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _check(member, root)
                tar.extract(member, root, numeric_owner=True)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadRequest(f"the build context cannot be unpacked: {error}") from error


def _check(member: tarfile.TarInfo, root: str) -> None:
    """Raises BadRequest."""
    if member.isdev():
        raise BadRequest(f"the build context has the device or pipe {member.name}")
    path = os.path.join(root, member.name)
    # A link is put where it is named; everything else may be written through one that is there already.
    written = os.path.dirname(path) if member.issym() else path
    touched = [written, os.path.join(root, member.linkname)] if member.islnk() else [written]
    for each in touched:
        real = os.path.realpath(each)
        if real != root and not real.startswith(root + os.sep):
            raise BadRequest(f"the build context leads outside of itself with {member.name}")
