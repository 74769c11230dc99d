"""The paths below `/images` of an agent. What takes long is told in lines of JSON, and a failure is the last of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from motet.agent.images import export
from motet.agent.images.building import Asked, Builder
from motet.agent.images.incoming import Incoming, receive
from motet.agent.images.shelf import Shelf
from motet.agent.images.transfer import Transfer, credentials
from motet.base.errors import ApiError, BadRequest, Forbidden, InternalError, NotFound, Unavailable
from motet.runtime.buildah import BuildFailed
from motet.runtime.interface import ImageNotFound, RuntimeFailure
from motet.runtime.registry import Refused

Json = dict[str, Any]

# What is to be built, and what registries are shown for it (host -> credentials), in JSON. The query is written to logs, these not.
ASKED = "X-Motet-Build"
REGISTRIES = "X-Motet-Registries"


class ImageRoutes:
    """What callers that may use the agent can do with its images."""

    def __init__(self, shelf: Shelf, transfer: Transfer, builder: Builder, incoming: Incoming) -> None:
        self._shelf = shelf
        self._transfer = transfer
        self._builder = builder
        self._incoming = incoming

    async def answer(self, request: web.BaseRequest, path: list[str]) -> web.StreamResponse:
        """Raises ApiError."""
        try:
            return await self._answer(request, path)
        except (RuntimeFailure, BuildFailed) as failure:
            raise _known(failure) from failure
        except OSError as error:
            raise Unavailable(f"the node cannot keep it: {error}") from error

    async def _answer(self, request: web.BaseRequest, path: list[str]) -> web.StreamResponse:
        match request.method, path:
            case "GET", []:
                return _json(await self._shelf.all())
            case "POST", ["tag"]:
                asked = await _asked(request)
                await self._shelf.tag(_text(asked, "image"), _text(asked, "name"))
                return _json({})
            case "POST", ["untag"]:
                await self._shelf.untag(_texts(await _asked(request), "names"))
                return _json({})
            case "POST", ["pull"]:
                asked = await _asked(request)
                return await lines(request, self._transfer.pull(_text(asked, "name"), credentials(asked.get("auth"))))
            case "POST", ["push"]:
                asked = await _asked(request)
                auth = credentials(asked.get("auth"))
                return await lines(request, self._transfer.push(_text(asked, "image"), _text(asked, "name"), auth))
            case "POST", ["manifest"]:
                asked = await _asked(request)
                return _json(await self._transfer.manifest(_text(asked, "name"), credentials(asked.get("auth"))))
            case "POST", ["export"]:
                return await self._export(request)
            case "POST", ["load"]:
                return await lines(request, self._load(request))
            case "POST", ["build"]:
                return await lines(request, self._build(request))
            case "POST", ["build", "prune"]:
                return _json(await self._builder.prune(everything=bool((await _asked(request)).get("all"))))
            case "POST", ["login"]:
                asked = await _asked(request)
                await self._transfer.login(_text(asked, "host"), credentials(asked.get("auth")))
                return _json({})
        raise NotFound(f"the agent has nothing at {request.method} {request.path}")

    async def _export(self, request: web.BaseRequest) -> web.StreamResponse:
        """A tar of `{"images": [{"image", "names"}]}`."""
        listed = (await _asked(request)).get("images")
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise BadRequest("images: expected a list of objects")
        chosen = [(await self._shelf.find(_text(each, "image")), list(each.get("names") or ())) for each in listed]
        response = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for piece in export.archive(self._shelf.store, chosen):
            await response.write(piece)
        await response.write_eof()
        return response

    async def _load(self, request: web.BaseRequest) -> AsyncIterator[Json]:
        """The images of a tar: `{"name", "id"}` for each name."""
        async with self._incoming.folder() as folder:
            await receive(request, folder / "images.tar")
            for name, image in await self._shelf.load(folder / "images.tar"):
                yield {"name": name, "id": image}

    async def _build(self, request: web.BaseRequest) -> AsyncIterator[Json]:
        """An image of a build context; what is asked for and what registries are shown is in headers."""
        try:
            asked = msgspec.json.decode(request.headers.get(ASKED, "{}"), type=Asked)
            auth = msgspec.json.decode(request.headers.get(REGISTRIES, "{}"), type=dict[str, dict[str, str]])
        except msgspec.MsgspecError as error:
            raise BadRequest(f"what is to be built: {error}") from error
        async with self._incoming.folder() as folder:
            await receive(request, folder / "context.tar")
            async for line in self._builder.build(
                folder, asked, {key: credentials(each) for key, each in auth.items()}
            ):
                yield line


def refusal(failure: RuntimeFailure) -> ApiError:
    """What a caller is told of a failure."""
    if isinstance(failure, Refused):
        return Forbidden(str(failure))
    if isinstance(failure, ImageNotFound):
        return NotFound(str(failure))
    if failure.reason in ("InvalidImageName", "InvalidImage"):
        return BadRequest(str(failure))
    return Unavailable(str(failure))


async def lines(request: web.BaseRequest, told: AsyncIterator[Json]) -> web.StreamResponse:
    """Answer with a line for each. What fails before the first is an error as any other. Raises RuntimeFailure, ApiError."""
    iterator = aiter(told)
    first = await anext(iterator, None)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        line = first
        while line is not None:
            await response.write(msgspec.json.encode(line) + b"\n")
            line = await anext(iterator, None)
    except (RuntimeFailure, ApiError, BuildFailed) as error:
        known = _known(error)
        await response.write(msgspec.json.encode({"error": known.message, "code": known.code}) + b"\n")
    await response.write_eof()
    return response


def _known(error: RuntimeFailure | ApiError | BuildFailed) -> ApiError:
    if isinstance(error, RuntimeFailure):
        return refusal(error)
    return error if isinstance(error, ApiError) else InternalError(str(error))


def _json(body: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


async def _asked(request: web.BaseRequest) -> Json:
    try:
        return msgspec.json.decode(await request.read(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadRequest(f"the body is not an object in JSON: {error}") from error


def _text(asked: Json, name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name}: expected a text")
    return value


def _texts(asked: Json, name: str) -> list[str]:
    value = asked.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise BadRequest(f"{name}: expected a list of texts")
    return value
