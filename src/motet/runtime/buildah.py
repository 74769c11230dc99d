"""The edge to buildah, with a storage of Motet's own, so that nothing of the user's is touched and all can be removed.

Steps run with chroot isolation on the machine's own network: that needs neither a runtime nor cgroups, and package
registries are reached as the machine reaches them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from motet.base import oom
from motet.base.errors import MotetError
from motet.base.files import write_atomically
from motet.runtime import buildargs

# Hears a line; where it is to be awaited, buildah waits, too.
Say = Callable[[str], Awaitable[None] | None]

_LAST_LINES = 25
# Longer lines are heard in pieces.
_LONGEST_LINE = 64 * 1024
_END_SECONDS = 5.0
# What a build writes must be readable by the image's users, however private the caller's own files are.
_UMASK = 0o022
_REGISTRIES = 'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "permissive"\n'


class BuildFailed(MotetError):
    """buildah ended with an error; the message has its last words."""


class Buildah:
    """One storage below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def directory(self) -> Path:
        return self._directory

    async def build(
        self,
        context: Path,
        tag: str,
        say: Say,
        options: Sequence[str] = (),
        secrets: Mapping[str, bytes] | None = None,
        arguments: Mapping[str, str] | None = None,
    ) -> str:
        """Build an image, reusing layers, and tag it unless `tag` is empty; returns its id (64 hexadecimal digits).

        Raises BuildFailed, BadRequest.

        `options` are further ones of `buildah build`, `arguments` its build arguments (`buildargs`). `secrets` are what steps may
        mount, by the names they mount them by; they are neither in the command nor on the disk.
        """
        command = ["build", "--layers", "--force-rm", "--isolation", "chroot", "--network", "host"]
        # The OCI's own format has no place for a HEALTHCHECK.
        command += ["--format", "docker", *(["--tag", tag] if tag else ()), *options]
        given, environment = buildargs.passed(arguments or {})
        command += given
        hidden = {f"MOTET_SECRET_{index}": os.fsdecode(each) for index, each in enumerate((secrets or {}).values())}
        for name, variable in zip(secrets or {}, hidden, strict=True):
            command += ["--secret", f"id={name},env={variable}"]
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="id-") as told:
            await self.run([*command, "--iidfile", told.name, str(context)], say, {**environment, **hidden})
            return Path(told.name).read_text().strip().removeprefix("sha256:")

    async def load(self, archive: Path, name: str) -> None:
        """Take the image of a docker archive, and call it `name`. Raises BuildFailed."""
        loaded = (await self.run(["pull", "--quiet", f"docker-archive:{archive}"])).strip()
        await self.run(["tag", loaded.rpartition("\n")[2], name])

    async def forget(self, *, everything: bool) -> list[str]:
        """Remove all images, or those without a name that nothing is built on; returns their ids. Raises BuildFailed."""
        before = await self._ids()
        if before:
            await self.run(["rmi", "--all", "--force"] if everything else ["rmi", "--prune"])
        after = set(await self._ids())
        return [image for image in before if image not in after]

    async def _ids(self) -> list[str]:
        if not self._directory.exists():
            return []
        told = await self.run(["images", "--all", "--no-trunc", "--quiet"])
        return list(dict.fromkeys(line.strip() for line in told.splitlines() if line.strip()))

    async def image_id(self, tag: str) -> str:
        """The id of an image of the storage, or an empty string."""
        try:
            return (await self.run(["images", "--no-trunc", "--quiet", tag])).strip().removeprefix("sha256:")
        except BuildFailed:
            return ""

    @contextlib.asynccontextmanager
    async def archive(self, image: str, name: str) -> AsyncIterator[Path]:
        """The image as a docker archive that says it is called `name` (which may be empty), for as long as the block lasts."""
        path = self._directory / "archives" / f"{image[:12]}.tar"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        try:
            await self.run(["push", "--quiet", image, f"docker-archive:{path}" + (f":{name}" if name else "")])
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def from_tree(self, tree: Path, tag: str, *, command: str) -> str:
        """An image whose only layer is a directory tree; returns its id. Raises BuildFailed."""
        container = (await self.run(["from", "scratch"])).strip()
        try:
            await self.run(["copy", "--quiet", container, str(tree), "/"])
            await self.run(["config", "--cmd", command, container])
            await self.run(["commit", "--quiet", container, tag])
        finally:
            await self.run(["rm", container])
        return await self.image_id(tag)

    async def run(
        self, arguments: Sequence[str], say: Say | None = None, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run one command. Returns standard output, unless `say` hears every line of progress. Raises BuildFailed."""
        if shutil.which("buildah") is None:
            raise BuildFailed("building images needs buildah; install it with: motet doctor --fix")
        settings = self._settings()
        storage = ["--root", str(self._directory / "storage"), "--runroot", str(self._directory / "run")]
        # Not asyncio's own way: uvloop forks, and gRPC does not survive a fork in the child. This does not (vfork).
        process = await asyncio.to_thread(
            lambda: subprocess.Popen(
                oom.ordinary(["buildah", *storage, *arguments]),
                env={**os.environ, **settings, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                umask=_UMASK,
                start_new_session=True,
            )
        )
        heard: deque[str] = deque(maxlen=_LAST_LINES)
        listening = asyncio.gather(_listen(process.stdout, heard, say), _listen(process.stderr, heard, say))
        try:
            output, _ = await asyncio.shield(listening)
            code = await asyncio.to_thread(process.wait)
        except BaseException:
            # It is listened to until it has ended: who writes to nobody is killed, and has no time to take anything away.
            await asyncio.shield(asyncio.to_thread(_end, process))
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            raise
        if code != 0:
            raise BuildFailed("\n".join(heard) or f"buildah {arguments[0]} ended with code {code}")
        return output

    def _settings(self) -> dict[str, str]:
        """Configuration of our own: short image names mean Docker's registry, as people expect of a Dockerfile."""
        registries = self._directory / "registries.conf"
        if not registries.exists():
            write_atomically(registries, _REGISTRIES.encode(), mode=0o644)
        return {"CONTAINERS_REGISTRIES_CONF": str(registries), "BUILDAH_ISOLATION": "chroot"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have buildah and what its step runs end; asked to, it takes away what it has begun."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
            return


async def _listen(pipe: IO[bytes] | None, heard: deque[str], say: Say | None) -> str:
    stream = asyncio.StreamReader(limit=_LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), pipe
    )
    lines = []
    try:
        while line := await _line(stream):
            text = line.decode(errors="replace").rstrip("\n")
            if say is None:
                lines.append(text)
            if text.strip():
                heard.append(text)
                if say is not None and (told := say(text)) is not None:
                    await told
    finally:
        transport.close()
    return "\n".join(lines)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or a piece of one that is too long; empty at the end."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError as overrun:
        return await stream.readexactly(overrun.consumed)
