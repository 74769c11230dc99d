"""The images of the manager's own node, asked of its agent through the kernel. Other nodes fetch what they need from a registry."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from motet.dialects.docker import nodes, references
from motet.dialects.docker.call import Call
from motet.dialects.docker.errors import DockerError
from motet.kinds import node as node_kind

Json = dict[str, Any]


class Layer(msgspec.Struct, gc=False, frozen=True):
    digest: str
    size: int = 0


class Container(msgspec.Struct, gc=False, frozen=True):
    id: str
    name: str = ""
    running: bool = False


class Image(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """An image as the agent tells it: names are full ones, sizes bytes, `tagged_at` seconds since 1970."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    size: int = 0
    tagged_at: int = 0
    layers: tuple[Layer, ...] = ()
    configuration: dict[str, Any] = {}
    containers: tuple[Container, ...] = ()

    @property
    def config(self) -> Json:
        """What containers of it are made with (OCI image-spec, "config", and Docker's `Healthcheck`)."""
        return self.configuration.get("config") or {}

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config.get("Labels") or {})


_images = msgspec.json.Decoder(list[Image])


async def _path(call: Call, rest: str) -> str:
    """Where the agent of the manager's node has something. Raises DockerError."""
    here = nodes.local(await nodes.known(call), call.engine.address)
    if here is None:
        raise DockerError(503, "the manager's machine is no node of the cluster, so it has no images")
    return f"{node_kind.KIND.path('', here.name)}/proxy/images{rest}"


async def known(call: Call) -> Sequence[Image]:
    """Every image of the manager's node. Raises DockerError, ApiError."""
    return _images.decode(await call.client.request("GET", await _path(call, "")))


async def find(call: Call, asked: str) -> Image:
    """By name, name and digest, identifier, or the beginning of one. Raises DockerError 404 "No such image"."""
    return pick(await known(call), asked)


def pick(images: Sequence[Image], asked: str) -> Image:
    """Raises DockerError: 404 for none, 400 for several."""
    prefix = references.id_prefix(asked)
    if prefix and len(prefix) == 64:
        found = [each for each in images if each.id == f"sha256:{prefix}"]
        if found:
            return found[0]
    try:
        name = references.full(asked)
    except DockerError:
        if not prefix:
            raise
        name = ""
    for each in images:
        if name and name in (*each.tags, *each.digests):
            return each
    if prefix:
        found = [each for each in images if each.id.startswith(f"sha256:{prefix}")]
        if len(found) > 1:
            raise DockerError(400, f"ambiguous reference: {asked}")
        if found:
            return found[0]
    raise references.no_such(asked)


async def ask(call: Call, rest: str, body: Json) -> Any:
    """A short request to the agent's images, and its answer. Raises DockerError, ApiError."""
    return msgspec.json.decode(await call.client.request("POST", await _path(call, f"/{rest}"), body))


@asynccontextmanager
async def exchange(
    call: Call,
    method: str,
    rest: str,
    *,
    query: Iterable[tuple[str, str]] = (),
    body: AsyncIterable[bytes] | bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """A long request to the agent's images: the answer as it comes. Raises DockerError, ApiError."""
    path = await _path(call, f"/{rest}")
    async with call.client.exchange(method, path, query=query, body=body, headers=headers) as pieces:
        yield pieces


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[Json]:
    """The lines of JSON that an agent tells. Raises DockerError for one that is an error."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            found = msgspec.json.decode(line, type=dict[str, Any])
            if "error" in found:
                raise DockerError(int(found.get("code", 500)), str(found["error"]))
            yield found
