"""The process that reads or writes a container's files: `NAMESPACE ROOT read|stat|write PATH [OPTION...]`.

The first two are numbers of open files (`fileroot.Doors`). Its first line of output is `ok` with what the path is, as JSON, or
`missing`, `bad` or `conflict` with a sentence; an archive follows on success. Links in the path are followed within the container's
root, the last one of it only when writing.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import stat
import sys
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from motet.agent import fileroot
from motet.agent.fileroot import Doors

# Go's bits for kinds of files (io/fs FileMode), which Docker's clients read.
_GO_KINDS = (
    (stat.S_ISDIR, 1 << 31),
    (stat.S_ISLNK, 1 << 27),
    (stat.S_ISBLK, 1 << 26),
    (stat.S_ISCHR, (1 << 26) | (1 << 21)),
    (stat.S_ISFIFO, 1 << 25),
    (stat.S_ISSOCK, 1 << 24),
)
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


class Refused(Exception):
    """`word` says what kind of refusal it is."""

    def __init__(self, word: str, sentence: str) -> None:
        super().__init__(f"{word} {sentence}")


def enter(doors: Doors) -> None:
    """Make the container's root this process' own, and load nothing from there. Raises Refused, OSError."""
    if fileroot.is_ours(doors):
        # The container has ended, and its number is that of one of the node's own processes by now.
        raise Refused("conflict", "the container is not running")
    fileroot.enter(doors)
    sys.meta_path.clear()
    sys.path.clear()
    # Names of users would be looked up with libraries of the container's: numbers do.
    tarfile.pwd = tarfile.grp = None  # type: ignore[attr-defined]


def go_mode(mode: int) -> int:
    """A mode of the system's as Go writes it."""
    found = stat.S_IMODE(mode) & 0o777
    found |= sum(bits for holds, bits in _GO_KINDS if holds(mode))
    return found | sum(bits for bit, bits in _GO_BITS if mode & bit)


def described(path: str) -> dict[str, Any]:
    """What is at a path, as Docker describes it. Raises OSError."""
    told = os.lstat(path)
    target = ""
    if stat.S_ISLNK(told.st_mode):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), os.readlink(path)))
    return {
        "name": posixpath.basename(path.rstrip("/")) or "/",
        "size": told.st_size,
        "mode": go_mode(told.st_mode),
        "mtime": datetime.fromtimestamp(told.st_mtime, UTC).isoformat().replace("+00:00", "Z"),
        "linkTarget": target,
    }


def cleaned(path: str) -> str:
    """Absolute, without `..`; a slash or a dot at the end says that a directory is meant."""
    return "/" + str(PurePosixPath(posixpath.normpath("/" + path))).lstrip("/")


def read(path: str, output: Any) -> None:
    """Write an archive with what is at `path` below its own name. Raises Refused."""
    whole = cleaned(path)
    directory = path.endswith(("/", "/."))
    try:
        told = described(whole)
        if directory and not stat.S_ISDIR(os.stat(whole).st_mode):
            raise Refused("bad", f"extraction point {path} is not a directory")
        if directory:
            whole = os.path.realpath(whole)
    except FileNotFoundError:
        raise Refused("missing", f"Could not find the file {path} in container") from None
    except NotADirectoryError:
        raise Refused("missing", f"Could not find the file {path} in container: not a directory") from None
    output.write(f"ok {json.dumps(told)}\n".encode())
    name = "." if path.endswith("/.") else posixpath.basename(whole) or "/"
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        archive.add(whole, arcname=name, filter=_kept)


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uname = member.gname = ""
    return member


def look(path: str, output: Any) -> None:
    """Say what is at `path`. Raises Refused."""
    try:
        told = described(cleaned(path))
    except (FileNotFoundError, NotADirectoryError):
        raise Refused("missing", f"Could not find the file {path} in container") from None
    output.write(f"ok {json.dumps(told)}\n".encode())


def write(path: str, archive: Any, output: Any, options: Sequence[str]) -> None:
    """Put an archive's members into the directory `path`. Raises Refused."""
    whole = os.path.realpath(cleaned(path))
    if not os.path.exists(whole):
        raise Refused("missing", f"Could not find the file {path} in container")
    if not os.path.isdir(whole):
        raise Refused("bad", f"extraction point {path} is not a directory")
    keep_owner = "copyUIDGID" in options
    try:
        with tarfile.open(fileobj=archive, mode="r|*") as opened:
            # The root of this process is the container's: nothing in an archive can lead out of it.
            if hasattr(tarfile, "fully_trusted_filter"):
                opened.extraction_filter = tarfile.fully_trusted_filter
            for member in opened:
                _make_way(posixpath.join(whole, member.name), member, refuse="noOverwriteDirNonDir" in options)
                if not keep_owner:
                    member.uid = member.gid = 0
                opened.extract(member, whole, numeric_owner=True)
    except tarfile.TarError as error:
        raise Refused("bad", f"the body is no tar archive: {error}") from None
    except OSError as error:
        raise Refused("conflict", f"{error.filename or path}: {error.strerror}") from None
    output.write(b"ok \n")


def _make_way(target: str, member: tarfile.TarInfo, *, refuse: bool) -> None:
    """Take away what is there already, unless both are directories: nothing is written into a link, a pipe or a device.

    `refuse` what is a directory on one side only. Raises Refused, OSError.
    """
    try:
        is_directory = stat.S_ISDIR(os.lstat(target).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return
    if refuse and is_directory != member.isdir():
        what = "directory" if is_directory else "non-directory"
        with_what = "directory" if member.isdir() else "non-directory"
        raise Refused("bad", f"cannot overwrite {what} {target} with {with_what}")
    if not is_directory:
        os.unlink(target)
    elif not member.isdir():
        shutil.rmtree(target)


def main(words: Sequence[str]) -> int:
    namespace, root, verb, path, *options = words
    output = sys.stdout.buffer
    # Whatever reading an archive may need has to be there before.
    import bz2  # noqa: F401
    import encodings.idna  # noqa: F401
    import gzip  # noqa: F401
    import lzma  # noqa: F401
    import zlib  # noqa: F401

    try:
        enter(Doors(int(namespace), int(root)))
        match verb:
            case "read":
                read(path, output)
            case "stat":
                look(path, output)
            case "write":
                write(path, sys.stdin.buffer, output, options)
    except Refused as refused:
        output.write(f"{refused}\n".encode())
    except OSError as error:
        output.write(f"conflict {error.filename or path}: {error.strerror}\n".encode())
        return 1
    output.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
