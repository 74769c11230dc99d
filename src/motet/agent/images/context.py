"""Build contexts: a tar file from outside becomes a folder, and nothing beside it.

A tar's headers may be as long as they say they are, and are read whole. So a process of its own reads them, whose memory is
bounded: `python -m motet.agent.images.context ARCHIVE DIRECTORY`. It says `ok`, or what is wrong.
"""

from __future__ import annotations

import asyncio
import lzma
import os
import resource
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from motet.base.errors import BadRequest, InternalError

_MEMORY = 1024**3
_LONGEST_SENTENCE = 1000


async def unpack_apart(archive: Path, directory: Path) -> None:
    """`unpack`, by a process of its own, which ends with whoever waits for it. Raises BadRequest."""
    command = [sys.executable, "-I", "-m", __name__, str(archive), str(directory)]
    process = await asyncio.to_thread(
        subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8"
    )
    try:
        said, _ = await asyncio.to_thread(process.communicate)
    except BaseException:
        process.kill()
        await asyncio.shield(asyncio.to_thread(process.wait))
        raise
    word, _, sentence = said.partition(" ")
    if word == "bad":
        raise BadRequest(sentence)
    if word != "ok":
        raise InternalError(f"the process that unpacks build contexts has ended with code {process.returncode}")


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
    except MemoryError:
        raise BadRequest("the build context cannot be unpacked: a header of its archive is too long") from None
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error, lzma.LZMAError) as error:
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


def main(words: Sequence[str]) -> None:
    archive, directory = words
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        unpack(Path(archive), Path(directory))
    except BadRequest as refused:
        said = "bad " + refused.message.replace("\n", " ")[:_LONGEST_SENTENCE]
    else:
        said = "ok"
    sys.stdout.buffer.write(said.encode(errors="replace"))


if __name__ == "__main__":
    main(sys.argv[1:])
