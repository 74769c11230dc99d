"""Images that come from a registry or go to one, with what of it is done so far."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from motet.agent.images.shelf import Shelf, full_name
from motet.base.clock import Clock
from motet.base.errors import BadRequest
from motet.runtime.cri import CriRuntime
from motet.runtime.imagestore import Descriptor, Stored
from motet.runtime.registry import Manifest, Registry, split

Json = dict[str, Any]

_LOOK_EVERY = 0.2
_CREDENTIALS = ("username", "password", "identity_token", "registry_token")


def credentials(given: Any) -> dict[str, str]:
    """Raises BadRequest for anything but the four texts that a registry may be shown."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(
        key in _CREDENTIALS and isinstance(value, str) for key, value in given.items()
    ):
        raise BadRequest(f"auth: expected {', '.join(_CREDENTIALS)}")
    return {key: value for key, value in given.items() if value}


class Transfer:
    """Between registries and one node. `hosts` is where `certs.d` is. Raises RuntimeFailure, ApiError."""

    def __init__(self, shelf: Shelf, runtime: CriRuntime, clock: Clock, hosts: Path) -> None:
        self._shelf = shelf
        self._runtime = runtime
        self._clock = clock
        self._hosts = hosts

    async def pull(self, name: str, auth: Mapping[str, str]) -> AsyncIterator[Json]:
        """Layers as they come (`{"layer", "current", "total"}`), at the end `{"id", "digest", "before"}`: the image that the name
        was before, if any.
        """
        full = full_name(name)
        before = await self._runtime.image(full)
        pulling = asyncio.ensure_future(self._runtime.pull(full, dict(auth)))
        seen: dict[str, tuple[int, int]] = {}
        try:
            while not pulling.done():
                for layer, (current, total) in (await self._shelf.store.arriving()).items():
                    if seen.get(layer) != (current, total):
                        seen[layer] = (current, total)
                        yield {"layer": layer, "current": current, "total": total}
                await asyncio.wait((pulling,), timeout=_LOOK_EVERY)
            await pulling
        finally:
            pulling.cancel()
            await asyncio.gather(pulling, return_exceptions=True)
        image = next(each for each in await self._shelf.store.images() if full in each.names or _same(each, full))
        for made in image.made.layers:
            if before is None or made.digest in seen:
                yield {"layer": made.digest, "current": made.size, "total": made.size}
        target = image.targets.get(full)
        yield {
            "id": image.id,
            "digest": target.digest if target is not None else full.partition("@")[2],
            "before": before.id if before is not None else "",
        }

    async def push(self, image_id: str, name: str, auth: Mapping[str, str]) -> AsyncIterator[Json]:
        """Blobs as they go (`{"layer", "state"}`), at the end `{"tag", "digest", "size"}`."""
        image = await self._shelf.find(image_id)
        host, repository, tag = split(full_name(name))
        made = image.made
        manifest = Manifest(made.manifest, await self._shelf.store.read(made.manifest.digest))
        queue: asyncio.Queue[Json | None] = asyncio.Queue()

        def told(blob: Descriptor, state: str) -> None:
            if blob.digest != made.config.digest:
                queue.put_nowait({"layer": blob.digest, "state": state, "size": blob.size})

        registry = Registry(self._hosts, host, auth)
        blobs = [*made.layers, made.config]
        sending = asyncio.ensure_future(registry.push(repository, tag, manifest, blobs, self._shelf.store.pieces, told))
        sending.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (line := await queue.get()) is not None:
                yield line
            await sending
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(sending, return_exceptions=True)
        await self._shelf.store.tag(made.manifest, f"{host}/{repository}@{made.manifest.digest}")
        yield {"tag": tag, "digest": made.manifest.digest, "size": made.manifest.size}

    async def manifest(self, name: str, auth: Mapping[str, str]) -> Json:
        """What a registry has under a name: media type, digest, size, and the platforms it is for."""
        host, repository, reference = split(full_name(name))
        registry = Registry(self._hosts, host, auth)
        found = await registry.manifest(repository, reference)
        return {
            "mediaType": found.descriptor.media_type,
            "digest": found.descriptor.digest,
            "size": found.descriptor.size,
            "platforms": await self._platforms(registry, repository, found),
        }

    async def _platforms(self, registry: Registry, repository: str, found: Manifest) -> list[Json]:
        try:
            document = msgspec.json.decode(found.body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise BadRequest(f"{repository} is no image: {error}") from error
        if "manifests" in document:
            return [each.get("platform") or {} for each in document["manifests"] if isinstance(each, dict)]
        config = document.get("config") or {}
        blob = await registry.blob(repository, str(config.get("digest", "")))
        configuration = msgspec.json.decode(blob, type=dict[str, Any])
        return [{key: configuration[key] for key in ("architecture", "os", "variant") if configuration.get(key)}]

    async def login(self, host: str, auth: Mapping[str, str]) -> None:
        """Whether a registry takes these credentials."""
        await Registry(self._hosts, host, auth).check()


def _same(image: Stored, full: str) -> bool:
    """Whether a name with a tag and a digest is the image's: containerd keeps the digest of such."""
    name, at, digest = full.partition("@")
    host, repository, _ = split(name)
    return bool(at) and f"{host}/{repository}@{digest}" in image.digests
