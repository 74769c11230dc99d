"""Putting images into containerd from tar files: OCI image layouts and docker-archives.

CRI can only pull, so this goes through containerd's content and image services: every blob is streamed into the
content store under its digest, then a name is pointed at the manifest and labelled so that CRI takes it as its own.
The archive decides what is stored; only for a docker-archive, which has no manifest of the registry kind, one is
written here. Layers are read from the tar in chunks, so memory stays flat whatever the image's size.

Follows the OCI image-spec 1.0 (layout, index, manifest), Docker's `docker save` format 1.2, and containerd's
garbage-collection labels.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import grpc
import grpc.aio
import msgspec

from motet.runtime import channel as channels
from motet.runtime import pause, wire
from motet.runtime.interface import Image, RuntimeFailure
from motet.runtime.references import normalise

_CHUNK = 1024 * 1024
_LARGEST_DOCUMENT = 8 * 1024 * 1024
# An import that was cut off leaves nothing behind for longer than this.
_LEASE = timedelta(hours=1)

_INVALID = "InvalidImage"

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")

_NAME_LABEL = "io.containerd.image.name"
_TAG_LABEL = "org.opencontainers.image.ref.name"
# CRI lists an image only with this label.
IMAGE_LABELS = {"io.cri-containerd.image": "managed"}
PINNED = {"io.cri-containerd.pinned": "pinned"}


@dataclass(frozen=True, slots=True)
class Blob:
    """Something to store: `member` of the archive, or `data` made here."""

    digest: str
    size: int
    media_type: str
    member: str = ""
    data: bytes = b""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Import:
    """One image of an archive: blobs in the order to store them, the manifest last, and the names it gets."""

    names: tuple[str, ...]
    blobs: tuple[Blob, ...]


class _Archive:
    """Random access to the members of an uncompressed tar file."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {_clean(member.name): member for member in tar if not member.isdir()}

    def __contains__(self, name: str) -> bool:
        return _clean(name) in self._members

    def open(self, name: str) -> IO[bytes]:
        """The content of a member; links inside the archive are followed."""
        member = self._members.get(_clean(name))
        stream = None
        if member is not None:
            try:
                stream = self._tar.extractfile(member)
            except KeyError:
                stream = None
        if stream is None:
            raise RuntimeFailure(f"the archive lacks {name}", _INVALID)
        return stream

    def document(self, name: str) -> tuple[Any, bytes]:
        with self.open(name) as stream:
            data = stream.read(_LARGEST_DOCUMENT)
        try:
            return msgspec.json.decode(data), data
        except msgspec.DecodeError as error:
            raise RuntimeFailure(f"{name} is not JSON: {error}", _INVALID) from error

    def measure(self, name: str) -> tuple[str, int, bytes]:
        """(digest, size, first bytes) of a member."""
        digest, size, first = hashlib.sha256(), 0, b""
        with self.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                first = first or chunk[:6]
                digest.update(chunk)
                size += len(chunk)
        return f"sha256:{digest.hexdigest()}", size, first


def _clean(name: str) -> str:
    return name.removeprefix("./").lstrip("/")


@contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    """The archive at `path`, which every complaint names; one that is gzipped as a whole is unpacked to a temporary file first."""
    try:
        with path.open("rb") as file, tempfile.TemporaryFile(dir=path.parent) as plain:
            source: IO[bytes] = file
            if file.read(2) == b"\x1f\x8b":
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as unpacking:
                    shutil.copyfileobj(unpacking, plain, _CHUNK)
                source = plain
            source.seek(0)
            with tarfile.open(fileobj=source, mode="r:") as tar:
                yield _Archive(tar)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise RuntimeFailure(f"{path}: not an image archive: {error}", _INVALID) from error
    except RuntimeFailure as error:
        if error.reason != _INVALID:
            raise
        raise RuntimeFailure(f"{path}: {error}", _INVALID) from error
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}", _INVALID) from error


def plan(archive: _Archive, arch: str) -> list[Import]:
    """What an archive holds for this architecture. Raises RuntimeFailure with reason InvalidImage."""
    if "index.json" in archive:
        return _plan_layout(archive, arch)
    if "manifest.json" in archive:
        return [_plan_docker(archive, entry, arch) for entry in archive.document("manifest.json")[0]]
    raise RuntimeFailure("neither index.json nor manifest.json is in the archive", _INVALID)


def _plan_layout(archive: _Archive, arch: str) -> list[Import]:
    tagged: dict[str, list[str]] = {}
    if "manifest.json" in archive:
        # Docker 25 and later write both; the old list has the full names where the index may have bare tags.
        for entry in archive.document("manifest.json")[0]:
            tagged.setdefault(_digest_of_path(entry["Config"]), []).extend(entry.get("RepoTags") or ())
    imports: dict[str, Import] = {}
    for entry in archive.document("index.json")[0].get("manifests", ()):
        manifest = _choose(archive, entry, arch)
        blobs = _layout_blobs(archive, manifest)
        names = _names_of(entry, tagged.get(blobs[-2].digest, []))
        known = imports.get(manifest["digest"])
        merged = (*(known.names if known else ()), *names)
        imports[manifest["digest"]] = Import(tuple(dict.fromkeys(merged)), blobs)
    if not imports:
        raise RuntimeFailure("the archive's index names no image", _INVALID)
    return list(imports.values())


def _digest_of_path(path: str) -> str:
    return "sha256:" + Path(path).name.removesuffix(".json")


def _names_of(entry: Mapping[str, Any], tagged: list[str]) -> list[str]:
    annotations = entry.get("annotations") or {}
    if name := annotations.get(_NAME_LABEL):
        return [normalise(name)]
    if tagged:
        return [normalise(name) for name in tagged]
    tag = annotations.get(_TAG_LABEL, "")
    # A bare tag names nothing.
    return [normalise(tag)] if "/" in tag or ":" in tag else []


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _choose(archive: _Archive, entry: dict[str, Any], arch: str) -> dict[str, Any]:
    """The manifest descriptor for `arch` under `entry`, going down through indexes."""
    if entry.get("mediaType") not in INDEXES:
        return entry
    offered: list[str] = []
    for child in archive.document(_blob_path(entry["digest"]))[0].get("manifests", ()):
        platform = child.get("platform") or {}
        if child.get("mediaType") in INDEXES or (
            platform.get("os", "linux") == "linux" and platform.get("architecture", arch) == arch
        ):
            return _choose(archive, child, arch)
        offered.append(f"{platform.get('os')}/{platform.get('architecture')}")
    raise RuntimeFailure(
        f"the image is for {', '.join(offered) or 'no platform'}, this machine is linux/{arch}", _INVALID
    )


def _layout_blobs(archive: _Archive, descriptor: dict[str, Any]) -> tuple[Blob, ...]:
    """Layers, then config, then manifest of one image of a layout."""
    manifest, data = archive.document(_blob_path(descriptor["digest"]))
    layers = [_listed(layer) for layer in manifest.get("layers", ())]
    config = _listed(manifest["config"])
    media_type = descriptor.get("mediaType") or manifest.get("mediaType") or MANIFEST
    top = Blob(descriptor["digest"], len(data), media_type, data=data, labels=_references(config, layers))
    return (*layers, config, top)


def _listed(descriptor: Mapping[str, Any]) -> Blob:
    digest = descriptor["digest"]
    return Blob(digest, descriptor["size"], descriptor["mediaType"], member=_blob_path(digest))


def _references(config: Blob, layers: list[Blob]) -> dict[str, str]:
    """Labels on a manifest that keep containerd from collecting what it points to."""
    labels = {f"containerd.io/gc.ref.content.l.{number}": layer.digest for number, layer in enumerate(layers)}
    return labels | {"containerd.io/gc.ref.content.config": config.digest}


def _plan_docker(archive: _Archive, entry: Mapping[str, Any], arch: str) -> Import:
    """One entry of manifest.json, given the manifest it never had."""
    document, data = archive.document(entry["Config"])
    made_for = document.get("architecture") or arch
    if made_for != arch:
        raise RuntimeFailure(f"the image is for linux/{made_for}, this machine is linux/{arch}", _INVALID)
    layers: list[Blob] = []
    for member in entry["Layers"]:
        digest, size, first = archive.measure(member)
        layers.append(Blob(digest, size, _LAYER + _compression(first), member=member))
    config = Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), _CONFIG, data=data)
    manifest = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(config),
            "layers": [_descriptor(layer) for layer in layers],
        }
    )
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    top = Blob(digest, len(manifest), MANIFEST, data=manifest, labels=_references(config, layers))
    names = tuple(normalise(name) for name in entry.get("RepoTags") or ())
    return Import(names, (*layers, config, top))


def _compression(first: bytes) -> str:
    if first.startswith(b"\x1f\x8b"):
        return "+gzip"
    return "+zstd" if first.startswith(b"\x28\xb5\x2f\xfd") else ""


def _descriptor(blob: Blob) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


@dataclass(frozen=True, slots=True)
class Inspected:
    """An image of an archive, without loading it."""

    names: tuple[str, ...]
    image: Image


def inspect(path: Path) -> list[Inspected]:
    """What `Importer.load` would load from `path`, with the same refusals."""
    with _opened(path) as archive:
        found = _planned(archive)
    return [
        Inspected(one.names, Image(one.blobs[-2].digest, one.names, (), sum(blob.size for blob in one.blobs)))
        for one in found
    ]


def _planned(archive: _Archive) -> list[Import]:
    try:
        return plan(archive, pause.architecture())
    except (KeyError, TypeError, AttributeError) as error:
        raise RuntimeFailure(f"not a well-formed image archive ({error!r})", _INVALID) from error


class Importer:
    """Loads archives through the channel of containerd's socket."""

    def __init__(self, channel: Any) -> None:
        self._write = wire.both_streams(channel, "containerd.services.content.v1.Content/Write")
        self._relabel = wire.unary(channel, "containerd.services.content.v1.Content/Update")
        self._abort = wire.unary(channel, "containerd.services.content.v1.Content/Abort")
        self._create = wire.unary(channel, "containerd.services.images.v1.Images/Create")
        self._update = wire.unary(channel, "containerd.services.images.v1.Images/Update")
        self._lease = wire.unary(channel, "containerd.services.leases.v1.Leases/Create")
        self._release = wire.unary(channel, "containerd.services.leases.v1.Leases/Delete")

    async def load(self, path: Path, *, labels: Mapping[str, str] | None = None) -> list[str]:
        """Store every image of the archive; returns the full names they have now.

        `labels` are put on the image records. Raises RuntimeFailure with reason InvalidImage for a bad archive.
        """
        loaded: list[str] = []
        with _opened(path) as archive:
            wanted = await asyncio.to_thread(_planned, archive)
            try:
                for image in wanted:
                    loaded += await self._store(archive, image, {**IMAGE_LABELS, **(labels or {})})
            except grpc.aio.AioRpcError as error:
                raise channels.failure(error, f"import {path}", missing=RuntimeFailure) from error
        return loaded

    async def _store(self, archive: _Archive, image: Import, labels: Mapping[str, str]) -> list[str]:
        manifest = image.blobs[-1]
        # An image without a name can only be had by its digest.
        names = list(image.names) or [f"localhost/imported@{manifest.digest}"]
        async with self._leased() as metadata:
            for blob in image.blobs:
                await self._put(archive, blob, metadata)
            for name in names:
                await self._name(name, manifest, labels, metadata)
        return names

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[tuple[tuple[str, str], ...]]:
        """Call metadata under which nothing written is collected until a name points to it."""
        lease = f"motet-import-{uuid.uuid4().hex}"
        expiring = {"containerd.io/gc.expire": (datetime.now(UTC) + _LEASE).isoformat(timespec="seconds")}
        await self._lease(wire.MESSAGE["CreateLeaseRequest"](id=lease, labels=expiring), metadata=wire.METADATA)
        try:
            yield (*wire.METADATA, ("containerd-lease", lease))
        finally:
            await self._release(wire.MESSAGE["DeleteLeaseRequest"](id=lease), metadata=wire.METADATA)

    async def _put(self, archive: _Archive, blob: Blob, metadata: tuple[tuple[str, str], ...]) -> None:
        """Write one blob unless it is there already; containerd checks size and digest at the commit."""
        request = wire.MESSAGE["WriteContentRequest"]
        reference = f"motet-{blob.digest}-{uuid.uuid4().hex[:8]}"
        call = self._write(metadata=metadata)
        committed = False
        try:
            await call.write(request(action=wire.STAT, ref=reference, total=blob.size, expected=blob.digest))
            await call.read()
            offset = 0
            async for chunk in _chunks(archive, blob):
                await call.write(request(action=wire.WRITE, ref=reference, offset=offset, data=chunk))
                # One answer per chunk: reading it keeps at most one chunk in flight.
                await call.read()
                offset += len(chunk)
            await call.write(
                request(
                    action=wire.COMMIT,
                    ref=reference,
                    offset=offset,
                    total=blob.size,
                    expected=blob.digest,
                    labels=blob.labels,
                )
            )
            await call.read()
            committed = True
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            code = error.code() if isinstance(error, grpc.aio.AioRpcError) else await call.code()
            if code != grpc.StatusCode.ALREADY_EXISTS:
                raise RuntimeFailure(
                    f"cannot store {blob.member or blob.media_type}: {await call.details()}", _INVALID
                ) from error
            await self._keep(blob, metadata)
        finally:
            call.cancel()
            if not committed:
                await self._forget(reference)

    async def _keep(self, blob: Blob, metadata: tuple[tuple[str, str], ...]) -> None:
        """Put the labels on a blob that was there before (perhaps as part of something else)."""
        if not blob.labels:
            return
        info = wire.MESSAGE["ContentInfo"](digest=blob.digest, labels=blob.labels)
        mask = wire.MESSAGE["FieldMask"](paths=[f"labels.{label}" for label in blob.labels])
        await self._relabel(wire.MESSAGE["UpdateContentRequest"](info=info, update_mask=mask), metadata=metadata)

    async def _forget(self, reference: str) -> None:
        try:
            await self._abort(wire.MESSAGE["AbortRequest"](ref=reference), metadata=wire.METADATA)
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE):
                raise

    async def _name(
        self, name: str, manifest: Blob, labels: Mapping[str, str], metadata: tuple[tuple[str, str], ...]
    ) -> None:
        target = wire.MESSAGE["Descriptor"](media_type=manifest.media_type, digest=manifest.digest, size=manifest.size)
        image = wire.MESSAGE["Image"](name=name, labels=labels, target=target)
        try:
            await self._create(wire.MESSAGE["CreateImageRequest"](image=image), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                raise
            mask = wire.MESSAGE["FieldMask"](paths=["target", *(f"labels.{label}" for label in labels)])
            await self._update(wire.MESSAGE["UpdateImageRequest"](image=image, update_mask=mask), metadata=metadata)


async def _chunks(archive: _Archive, blob: Blob) -> AsyncIterator[bytes]:
    if not blob.member:
        yield blob.data
        return
    with archive.open(blob.member) as stream:
        while chunk := await asyncio.to_thread(stream.read, _CHUNK):
            yield chunk
