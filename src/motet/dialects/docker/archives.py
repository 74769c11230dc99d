"""Images as files: `docker save` and `docker load`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from motet.base.errors import ApiError
from motet.dialects.docker import images, local_images, references
from motet.dialects.docker.call import Call
from motet.dialects.docker.errors import DockerError, bad
from motet.dialects.docker.local_images import Image
from motet.dialects.docker.progress import Progress
from motet.dialects.docker.router import Route

Json = dict[str, Any]


def saved(known: Sequence[Image], asked: str) -> tuple[Image, list[str]]:
    """The image that is meant, and the names it is saved with: of a name its own, of an identifier none. Raises DockerError."""
    image = local_images.pick(known, asked)
    try:
        name = references.full(asked)
    except DockerError:
        return image, []
    return image, [name] if name in image.tags else []


def _every_tag(known: Sequence[Image], asked: str) -> list[tuple[Image, list[str]]]:
    """A name without a tag stands for all of its repository, if there is one."""
    if references.id_prefix(asked) or "@" in asked or references.tag_of(asked):
        return []
    repository = references.repository(references.full(asked))
    found = [
        (each, [tag for tag in each.tags if references.repository(tag) == repository])
        for each in known
        if any(references.repository(tag) == repository for tag in each.tags)
    ]
    return found


async def _save(call: Call, asked: Sequence[str]) -> web.StreamResponse:
    images.refuse_platform(call)
    if not asked:
        raise bad("names: of which images?")
    known = await local_images.known(call)
    names: dict[str, list[str]] = {}
    for each in asked:
        for image, own in _every_tag(known, each) or [saved(known, each)]:
            names.setdefault(image.id, []).extend(own)
    body = msgspec.json.encode(
        {"images": [{"image": image, "names": list(dict.fromkeys(own))} for image, own in names.items()]}
    )
    response = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
    response.enable_chunked_encoding()
    async with local_images.exchange(call, "POST", "export", body=body) as pieces:
        await response.prepare(call.request)
        try:
            async for piece in pieces:
                await response.write(piece)
        except ApiError:
            # The head is gone already: only breaking off tells the client that this is not all.
            if call.request.transport is not None:
                call.request.transport.abort()
            return response
    await response.write_eof()
    return response


async def save_one(call: Call) -> web.StreamResponse:
    return await _save(call, [call.path["name"]])


async def save(call: Call) -> web.StreamResponse:
    return await _save(call, call.request.rel_url.query.getall("names", []))


async def load(call: Call) -> web.StreamResponse:
    images.refuse_platform(call)
    progress = Progress(call)
    try:
        async with local_images.exchange(call, "POST", "load", body=call.request.content.iter_any()) as pieces:
            async for line in local_images.lines(pieces):
                name = references.familiar(line["name"])
                said = f"Loaded image: {name}" if name else f"Loaded image ID: {line['id']}"
                call.note("image", "load", line["id"], name=name or line["id"])
                await progress.tell({"stream": f"{said}\n"})
    except (DockerError, ApiError) as error:
        return await progress.fail(error)
    return await progress.end()


ROUTES = (
    Route("GET", "/images/get", save),
    Route("POST", "/images/load", load),
    Route("GET", "/images/{name*}/get", save_one),
)
