"""Images as a tar file that `docker load`, and whatever reads OCI image layouts, understands.

The blobs are as they are stored; beside the layout's index stands Docker's own `manifest.json`, as docker writes both since
version 25.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from motet.runtime.images import MANIFEST
from motet.runtime.imagestore import Descriptor, ImageStore, Stored

Json = dict[str, Any]

_BLOCK = 512
_NAME = "io.containerd.image.name"
_TAG = "org.opencontainers.image.ref.name"


async def for_builder(store: ImageStore, image: Stored, name: str) -> AsyncIterator[bytes]:
    """One image as `docker save` wrote it before version 25, with a history for all of its layers: builders count them.

    Raises RuntimeFailure.
    """
    config = with_history(image.made.configuration, len(image.made.layers))
    data = msgspec.json.encode(config) if config is not None else await store.read(image.id)
    path = f"{hashlib.sha256(data).hexdigest()}.json"
    yield _head(path, len(data)) + data + _padding(len(data))
    for digest, size in {layer.digest: layer.size for layer in image.made.layers}.items():
        yield _head(_path(digest), size)
        async for piece in store.pieces(digest):
            yield piece
        yield _padding(size)
    entry = {"Config": path, "RepoTags": [name] if name else None, "Layers": _entry(image, ())["Layers"]}
    data = msgspec.json.encode([entry])
    yield _head("manifest.json", len(data)) + data + _padding(len(data)) + b"\0" * (2 * _BLOCK)


def with_history(configuration: Json, layers: int) -> Json | None:
    """A configuration whose history accounts for every layer; None when it does so already."""
    history = configuration.get("history") or []
    told = sum(1 for step in history if not step.get("empty_layer"))
    if told == layers:
        return None
    return {**configuration, "history": [{"created_by": "unknown"}] * layers}


async def archive(store: ImageStore, images: Sequence[tuple[Stored, Sequence[str]]]) -> AsyncIterator[bytes]:
    """The file in pieces; with each image the full names it is to have, none for none. Raises RuntimeFailure."""
    written: set[str] = set()
    for image, _ in images:
        for blob in (*image.made.layers, image.made.config, image.made.manifest):
            if blob.digest not in written:
                written.add(blob.digest)
                yield _head(_path(blob.digest), blob.size)
                async for piece in store.pieces(blob.digest):
                    yield piece
                yield _padding(blob.size)
    for name, content in (
        ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
        ("index.json", _index(images)),
        ("manifest.json", [_entry(image, names) for image, names in images]),
    ):
        data = msgspec.json.encode(content)
        yield _head(name, len(data)) + data + _padding(len(data))
    yield b"\0" * (2 * _BLOCK)


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _head(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % _BLOCK)


def _index(images: Sequence[tuple[Stored, Sequence[str]]]) -> Json:
    manifests = []
    for image, names in images:
        described = _descriptor(image.made.manifest)
        manifests += [{**described, "annotations": {_NAME: name, _TAG: name.rpartition(":")[2]}} for name in names] or [
            described
        ]
    return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}


def _descriptor(manifest: Descriptor) -> Json:
    return {"mediaType": manifest.media_type or MANIFEST, "digest": manifest.digest, "size": manifest.size}


def _entry(image: Stored, names: Sequence[str]) -> Json:
    made = image.made
    return {
        "Config": _path(made.config.digest),
        "RepoTags": [_short(name) for name in names] or None,
        "Layers": [_path(layer.digest) for layer in made.layers],
    }


def _short(name: str) -> str:
    """Docker itself reads only names without its own registry."""
    return name.removeprefix("docker.io/library/").removeprefix("docker.io/")
