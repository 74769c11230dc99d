"""Images built on the node from a Dockerfile and the files beside it: by buildah, as `motet up` builds, and then put into the node.

What a Dockerfile begins from is fetched by the node, as any pod's image is, unless it is there, and handed to buildah.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from motet.agent.images import export
from motet.agent.images.context import unpack_apart
from motet.agent.images.shelf import Shelf, full_name
from motet.base.errors import BadRequest
from motet.runtime.buildah import Buildah, BuildFailed
from motet.runtime.cri import CriRuntime
from motet.runtime.imagestore import Stored

Json = dict[str, Any]

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE | re.MULTILINE)
_COPIED = re.compile(r"^\s*(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=(\S+)", re.IGNORECASE | re.MULTILINE)
_ARG = re.compile(r"^\s*ARG\s+(\w+)(?:=(\S*))?\s*$", re.IGNORECASE | re.MULTILINE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_LARGEST_DOCKERFILE = 1024 * 1024
# Said and not yet heard; buildah waits for who hears slowly.
_MOST_LINES = 256


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be built. `dockerfile` is a path in the context, `names` are given to the image.

    `pull` fetches what it begins from again.
    """

    dockerfile: str = "Dockerfile"
    names: tuple[str, ...] = ()
    args: dict[str, str] = {}
    labels: dict[str, str] = {}
    target: str = ""
    hosts: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False


class Builder:
    """Builds with buildah's storage below `directory`. Raises BuildFailed, ApiError, RuntimeFailure."""

    def __init__(self, shelf: Shelf, runtime: CriRuntime, directory: Path) -> None:
        self._shelf = shelf
        self._runtime = runtime
        self._buildah = Buildah(directory)

    async def build(self, folder: Path, asked: Asked, auth: Mapping[str, Mapping[str, str]]) -> AsyncIterator[Json]:
        """Build what lies in `folder` as `context.tar`: lines as they are said (`{"say"}`), at the end `{"id", "names"}`."""
        names = [full_name(name) for name in asked.names]
        context = folder / "context"
        await unpack_apart(folder / "context.tar", context)
        file = _inside(context, asked.dockerfile)
        text = file.read_text(errors="replace") if file.stat().st_size <= _LARGEST_DOCKERFILE else ""
        for name in bases(text, asked.args):
            async for told in self._provide(name, folder, auth, again=asked.pull):
                yield told
        queue: asyncio.Queue[str] = asyncio.Queue(_MOST_LINES)
        building = asyncio.ensure_future(
            self._buildah.build(context, "", queue.put, options=_options(file, asked), arguments=asked.args)
        )
        try:
            async for line in _said(building, queue):
                yield {"say": line}
            image = await building
        except BuildFailed as failed:
            # All but the last word has been said.
            raise BuildFailed(str(failed).rpartition("\n")[2]) from failed
        finally:
            building.cancel()
            # It may still have to say something to end.
            async for _ in _said(building, queue):
                pass
            await asyncio.gather(building, return_exceptions=True)
        yield {"id": await self._take_over(image, names), "names": names}

    async def prune(self, *, everything: bool) -> Json:
        """Forget what was built: what has no name there, or all. Returns the identifiers, and the bytes that are free now."""
        before = await asyncio.to_thread(_size, self._buildah.directory)
        gone = await self._buildah.forget(everything=everything)
        return {"ids": gone, "freed": max(0, before - await asyncio.to_thread(_size, self._buildah.directory))}

    async def _provide(
        self, name: str, folder: Path, auth: Mapping[str, Mapping[str, str]], *, again: bool
    ) -> AsyncIterator[Json]:
        """Have an image on the node and hand it to buildah, which need not know registries then."""
        full = full_name(name)
        image = await self._find(full)
        if image is None or (again and "@" not in full):
            yield {"say": f"Pulling {full}"}
            await self._runtime.pull(full, dict(auth.get(full.partition("/")[0], {})))
            image = await self._find(full)
        if image is None:
            raise BuildFailed(f"{full} was fetched and is not on the node")
        if await self._buildah.image_id(full) == image.id.removeprefix("sha256:"):
            return
        path = folder / "base.tar"
        try:
            with path.open("xb") as file:
                async for piece in export.for_builder(self._shelf.store, image, full if "@" not in full else ""):
                    await asyncio.to_thread(file.write, piece)
            await self._buildah.load(path, full)
        finally:
            path.unlink(missing_ok=True)

    async def _find(self, full: str) -> Stored | None:
        return next((each for each in await self._shelf.store.images() if full in (*each.tags, *each.digests)), None)

    async def _take_over(self, image: str, names: list[str]) -> str:
        """Put what was built into the node under its names; returns its identifier there."""
        async with self._buildah.archive(image, names[0] if names else "") as path:
            made = await self._runtime.import_image(str(path))
        found = await self._runtime.image(made[0])
        if found is None:
            raise BuildFailed("what was built is not on the node any more")
        for name in names[1:]:
            await self._shelf.tag(found.id, name)
        return found.id


async def _said(building: asyncio.Future[str], queue: asyncio.Queue[str]) -> AsyncIterator[str]:
    """Lines of the queue until `building` has ended and said all."""
    while not (building.done() and queue.empty()):
        coming = asyncio.ensure_future(queue.get())
        try:
            await asyncio.wait((coming, building), return_when=asyncio.FIRST_COMPLETED)
            line = coming.result() if coming.done() else None
        finally:
            coming.cancel()
        if line is not None:
            yield line


def _options(file: Path, asked: Asked) -> list[str]:
    found = ["--file", str(file), "--pull=false"]
    for flag, values in (
        ("--target", (asked.target,) if asked.target else ()),
        ("--label", [f"{name}={value}" for name, value in asked.labels.items()]),
        ("--add-host", asked.hosts),
    ):
        found += [word for value in values for word in (flag, value)]
    return [*found, *(["--no-cache"] if asked.no_cache else ())]


def bases(text: str, args: Mapping[str, str]) -> Iterator[str]:
    """The images that a Dockerfile begins from or copies from."""
    first = _FROM.search(text)
    known = {
        name: args.get(name, default or "") for name, default in _ARG.findall(text[: first.start() if first else 0])
    }
    stages = {stage.lower() for _, stage in _FROM.findall(text) if stage}
    for name in dict.fromkeys([*(image for image, _ in _FROM.findall(text)), *_COPIED.findall(text)]):
        name = _VARIABLE.sub(lambda found: known.get(found[1] or found[3]) or found[2] or "", name)
        if name and name.lower() not in stages and name != "scratch" and not name.isdigit():
            yield name


def _inside(context: Path, name: str) -> Path:
    path = (context / name).resolve()
    if not path.is_relative_to(context.resolve()) or not path.is_file():
        raise BadRequest(f"Cannot locate specified Dockerfile: {name}")
    return path


def _size(directory: Path) -> int:
    """Bytes that a folder takes."""
    found = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return found
