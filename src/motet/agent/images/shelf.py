"""What is on the node, as it is told to others, and what changes it by name only."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from motet.base.clock import Clock
from motet.base.errors import BadRequest, NotFound, Unavailable
from motet.runtime.cri import CriRuntime
from motet.runtime.imagestore import Descriptor, ImageStore, Stored
from motet.runtime.interface import Container, ContainerState, RuntimeFailure
from motet.runtime.references import normalise

Json = dict[str, Any]

_LOOK_EVERY = 0.05
# CRI hears of a name's coming and going by an event.
_LOOKS = 200


class Shelf:
    """The images of one node. Raises ApiError for what callers do wrong, RuntimeFailure for the rest."""

    def __init__(self, runtime: CriRuntime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self.store: ImageStore = runtime.image_store()

    async def all(self) -> list[Json]:
        """Every image, with its configuration and the containers that are of it."""
        images, containers = await asyncio.gather(self.store.images(), self._runtime.containers())
        return [shown(image, containers) for image in images]

    async def find(self, image_id: str) -> Stored:
        found = next((each for each in await self.store.images() if each.id == image_id), None)
        if found is None:
            raise NotFound(f"No such image: {image_id}")
        return found

    async def tag(self, image_id: str, name: str) -> None:
        """Give an image one more name, which is taken from any other that has it. CRI knows it when this returns."""
        full = full_name(name)
        if "@" in full:
            raise BadRequest("refusing to create a tag with a digest reference")
        image = await self.find(image_id)
        await self.store.tag(target_of(image), full)
        await self._until(full, image.id)

    async def untag(self, names: Sequence[str]) -> None:
        """Take full names (or ids) away. CRI knows when this returns."""
        await self.store.untag(names)
        for name in names:
            await self._until(name, "")

    async def load(self, archive: Path) -> list[tuple[str, str]]:
        """Take the images of a tar file; (name, id) of each, the name empty for those that have none."""
        try:
            names = await self._runtime.import_image(str(archive))
        except RuntimeFailure as failure:
            # Where it lies here says nothing to whoever sent it.
            raise RuntimeFailure(str(failure).removeprefix(f"{archive}: "), failure.reason) from failure
        loaded = []
        for name in names:
            found = await self._runtime.image(name)
            loaded.append(("" if "@" in name else name, found.id if found is not None else ""))
        return loaded

    async def _until(self, name: str, image_id: str) -> None:
        for _ in range(_LOOKS):
            found = await self._runtime.image(name)
            if (found.id if found is not None else "") == image_id:
                return
            await self._clock.sleep(_LOOK_EVERY)
        raise Unavailable(f"the container runtime has not taken note of {name} yet")


def full_name(name: str) -> str:
    """Raises BadRequest."""
    try:
        return normalise(name)
    except RuntimeFailure as failure:
        raise BadRequest(f"invalid reference format: {failure}") from failure


def target_of(image: Stored) -> Descriptor:
    """What a name of the image points to, be it the index of several platforms."""
    return next((image.targets[name] for name in (*image.tags, *image.digests)), image.made.manifest)


def shown(image: Stored, containers: Iterable[Container]) -> Json:
    """An image as JSON. Sizes are bytes, times seconds since 1970."""
    names = {image.id, *image.names}
    return {
        "id": image.id,
        "tags": list(image.tags),
        "digests": list(image.digests),
        "names": list(image.names),
        "size": image.made.size,
        "taggedAt": image.tagged_at,
        "layers": [{"digest": layer.digest, "size": layer.size} for layer in image.made.layers],
        "configuration": image.made.configuration,
        "containers": _users(names, containers),
    }


def _users(names: Collection[str], containers: Iterable[Container]) -> list[Mapping[str, Any]]:
    return [
        {"id": made.id, "name": made.name, "running": made.state is ContainerState.RUNNING}
        for made in containers
        if made.image in names or made.image_ref in names
    ]
