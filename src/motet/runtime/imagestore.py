"""The images of a node as containerd keeps them: names that point to manifests, and blobs under their digests.

CRI says of an image its id, names and size. What it is made of, its configuration and its history, is read from the blobs
here; and a name is put on an image or taken off it, which CRI cannot do. What CRI keeps of an image are three sorts of names:
`registry/repository:tag`, `registry/repository@digest`, and the bare id (the digest of the configuration).

Follows the OCI image-spec 1.1 (manifest, index, configuration); `Healthcheck` in a configuration is Docker's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import msgspec

from motet.runtime import channel as channels
from motet.runtime import pause, wire
from motet.runtime.images import IMAGE_LABELS, INDEXES, PINNED
from motet.runtime.interface import ImageNotFound, RuntimeFailure

Json = dict[str, Any]

_LARGEST_DOCUMENT = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as others refer to it. `size` is in bytes."""

    media_type: str
    digest: str
    size: int

    @classmethod
    def of(cls, listed: Mapping[str, Any]) -> Descriptor:
        return cls(str(listed.get("mediaType", "")), str(listed["digest"]), int(listed["size"]))


@dataclass(frozen=True, slots=True)
class Made:
    """What an image consists of, for this machine's platform: blobs never change, so neither does this."""

    manifest: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...]
    # The OCI configuration, whole.
    configuration: Json

    @property
    def id(self) -> str:
        return self.config.digest

    @property
    def size(self) -> int:
        """Bytes as stored, which for layers from a registry are compressed ones."""
        return self.manifest.size + self.config.size + sum(layer.size for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Stored:
    """One image with the full names it has now. `targets` says what each name points to: a manifest or an index."""

    made: Made
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    targets: Mapping[str, Descriptor] = field(default_factory=dict)
    # Seconds since 1970 when a name was last put on it.
    tagged_at: int = 0

    @property
    def id(self) -> str:
        return self.made.id

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.targets)


@dataclass(frozen=True, slots=True)
class _Record:
    name: str
    target: Descriptor
    updated_at: int
    hidden: bool


class ImageStore:
    """Containerd's image and content services, through the channel of its socket. Raises RuntimeFailure and its kin."""

    def __init__(self, channel: Any) -> None:
        self._list = wire.unary(channel, "containerd.services.images.v1.Images/List")
        self._create = wire.unary(channel, "containerd.services.images.v1.Images/Create")
        self._update = wire.unary(channel, "containerd.services.images.v1.Images/Update")
        self._delete = wire.unary(channel, "containerd.services.images.v1.Images/Delete")
        self._read = wire.server_stream(channel, "containerd.services.content.v1.Content/Read")
        self._statuses = wire.unary(channel, "containerd.services.content.v1.Content/ListStatuses")
        self._known: dict[str, Made] = {}

    async def images(self) -> list[Stored]:
        """Every image of this platform, but those that are Motet's own (the sandbox's). Images that are not whole are left out."""
        by_id: dict[str, list[_Record]] = {}
        made: dict[str, Made] = {}
        records = await self._records()
        for record in records:
            try:
                found = await self._made(record.target)
            except (ImageNotFound, KeyError, TypeError, ValueError, msgspec.MsgspecError):
                continue
            made[found.id] = found
            by_id.setdefault(found.id, []).append(record)
        targets = {record.target.digest for record in records}
        self._known = {digest: each for digest, each in self._known.items() if digest in targets}
        return [_stored(made[key], which) for key, which in by_id.items() if not any(record.hidden for record in which)]

    async def tag(self, target: Descriptor, name: str) -> None:
        """Have `name` (a full one) point to a manifest or index that is here."""
        image = wire.MESSAGE["Image"](
            name=name,
            labels=IMAGE_LABELS,
            target=wire.MESSAGE["Descriptor"](media_type=target.media_type, digest=target.digest, size=target.size),
        )
        try:
            await self._create(wire.MESSAGE["CreateImageRequest"](image=image), metadata=wire.METADATA)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                raise channels.failure(error, f"tag {name}", missing=ImageNotFound) from error
            mask = wire.MESSAGE["FieldMask"](paths=["target", *(f"labels.{label}" for label in IMAGE_LABELS)])
            request = wire.MESSAGE["UpdateImageRequest"](image=image, update_mask=mask)
            await self._update(request, metadata=wire.METADATA)

    async def untag(self, names: Sequence[str]) -> None:
        """Take names away; with the last one of an image its blobs go, before this returns."""
        for name in names:
            request = wire.MESSAGE["DeleteImageRequest"](name=name, sync=name == names[-1])
            try:
                await self._delete(request, metadata=wire.METADATA)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.NOT_FOUND:
                    raise channels.failure(error, f"untag {name}", missing=ImageNotFound) from error

    async def read(self, digest: str) -> bytes:
        """A small blob, whole: a manifest, an index, a configuration."""
        data = bytearray()
        async for piece in self.pieces(digest):
            data += piece
            if len(data) > _LARGEST_DOCUMENT:
                raise RuntimeFailure(f"{digest} is larger than any manifest")
        return bytes(data)

    async def pieces(self, digest: str) -> AsyncIterator[bytes]:
        """A blob as it is read."""
        call = self._read(wire.MESSAGE["ReadContentRequest"](digest=digest), metadata=wire.METADATA)
        try:
            async for answer in call:
                yield answer.data
        except grpc.aio.AioRpcError as error:
            raise channels.failure(error, f"read {digest}", missing=ImageNotFound) from error
        finally:
            call.cancel()

    async def arriving(self) -> dict[str, tuple[int, int]]:
        """(bytes here, bytes in all) of every layer that is being fetched, by its digest."""
        found = {}
        with contextlib.suppress(grpc.aio.AioRpcError):
            answer = await self._statuses(wire.MESSAGE["ListStatusesRequest"](), metadata=wire.METADATA)
            for status in answer.statuses:
                sort, _, digest = status.ref.partition("-")
                if sort == "layer":
                    found[digest] = (status.offset, status.total)
        return found

    async def _records(self) -> list[_Record]:
        try:
            answer = await self._list(wire.MESSAGE["ListImagesRequest"](), metadata=wire.METADATA)
        except grpc.aio.AioRpcError as error:
            raise channels.failure(error, "list images", missing=ImageNotFound) from error
        return [
            _Record(
                item.name,
                Descriptor(item.target.media_type, item.target.digest, item.target.size),
                item.updated_at.seconds,
                PINNED.items() <= dict(item.labels).items(),
            )
            for item in answer.images
        ]

    async def _made(self, target: Descriptor) -> Made:
        known = self._known.get(target.digest)
        if known is None:
            manifest = await self._manifest(target, pause.architecture())
            document = msgspec.json.decode(await self.read(manifest.digest))
            config = Descriptor.of(document["config"])
            layers = tuple(Descriptor.of(layer) for layer in document.get("layers") or ())
            configuration = msgspec.json.decode(await self.read(config.digest), type=dict)
            known = self._known[target.digest] = Made(manifest, config, layers, configuration)
        return known

    async def _manifest(self, target: Descriptor, arch: str) -> Descriptor:
        """The manifest for this machine under `target`. Raises ImageNotFound."""
        if target.media_type not in INDEXES:
            return target
        for entry in msgspec.json.decode(await self.read(target.digest)).get("manifests") or ():
            platform = entry.get("platform") or {}
            if entry.get("mediaType") in INDEXES or (
                platform.get("os", "linux") == "linux" and platform.get("architecture", arch) == arch
            ):
                return await self._manifest(Descriptor.of(entry), arch)
        raise ImageNotFound(f"{target.digest} has nothing for linux/{arch}", "NotFound")


def _stored(made: Made, records: Sequence[_Record]) -> Stored:
    tags = sorted(record.name for record in records if "@" not in record.name and not _is_id(record.name))
    digests = sorted(record.name for record in records if "@" in record.name)
    return Stored(
        made,
        tuple(tags),
        tuple(digests),
        {record.name: record.target for record in records},
        max((record.updated_at for record in records), default=0),
    )


def _is_id(name: str) -> bool:
    return name.startswith("sha256:")
