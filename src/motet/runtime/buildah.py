"""The edge to buildah, with a storage of Motet's own, so that nothing of the user's is touched and all can be removed.

Steps run with chroot isolation on the machine's own network: that needs neither a runtime nor cgroups, and package
registries are reached as the machine reaches them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from motet.base.errors import MotetError
from motet.base.files import write_atomically

Say = Callable[[str], None]

_LAST_LINES = 25
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
    ) -> str:
        """Build an image, reusing layers, and tag it; returns its id (64 hexadecimal digits). Raises BuildFailed.

        `options` are further ones of `buildah build`. `secrets` are what steps may mount, by the names they mount them by;
        they are neither in the command nor on the disk.
        """
        command = ["build", "--layers", "--force-rm", "--isolation", "chroot", "--network", "host", "--tag", tag]
        command += options
        hidden = {f"MOTET_SECRET_{index}": os.fsdecode(each) for index, each in enumerate((secrets or {}).values())}
        for name, variable in zip(secrets or {}, hidden, strict=True):
            command += ["--secret", f"id={name},env={variable}"]
        await self.run([*command, str(context)], say, hidden)
        return await self.image_id(tag)

    async def image_id(self, tag: str) -> str:
        """The id of an image of the storage, or an empty string."""
        try:
            return (await self.run(["images", "--no-trunc", "--quiet", tag])).strip().removeprefix("sha256:")
        except BuildFailed:
            return ""

    @contextlib.asynccontextmanager
    async def archive(self, image: str, name: str) -> AsyncIterator[Path]:
        """The image as a docker archive that says it is called `name`, for as long as the block lasts."""
        path = self._directory / "archives" / f"{image[:12]}.tar"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        try:
            await self.run(["push", "--quiet", image, f"docker-archive:{path}:{name}"])
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
        """Run one command; `say` hears every line of progress. Returns standard output. Raises BuildFailed."""
        if shutil.which("buildah") is None:
            raise BuildFailed("building images needs buildah; install it with: motet doctor --fix")
        settings = self._settings()
        process = await asyncio.create_subprocess_exec(
            "buildah",
            "--root",
            str(self._directory / "storage"),
            "--runroot",
            str(self._directory / "run"),
            *arguments,
            env={**os.environ, **settings, **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            umask=_UMASK,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        heard: deque[str] = deque(maxlen=_LAST_LINES)
        try:
            output, _ = await asyncio.gather(_listen(process.stdout, heard, say), _listen(process.stderr, heard, say))
            code = await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
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


async def _listen(stream: asyncio.StreamReader, heard: deque[str], say: Say | None) -> str:
    lines = []
    while line := await stream.readline():
        text = line.decode(errors="replace").rstrip("\n")
        lines.append(text)
        if text.strip():
            heard.append(text)
            if say is not None:
                say(text)
    return "\n".join(lines)
