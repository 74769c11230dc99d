"""The paths below `/images` of an agent. What takes long is told in lines of JSON, and a failure is the last of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from motet.agent.images.shelf import Shelf
from motet.agent.images.transfer import Transfer, credentials
from motet.base.errors import ApiError, BadRequest, Forbidden, NotFound, Unavailable
from motet.runtime.interface import ImageNotFound, RuntimeFailure
from motet.runtime.registry import Refused

Json = dict[str, Any]


class ImageRoutes:
    """What callers that may use the agent can do with its images."""

    def __init__(self, shelf: Shelf, transfer: Transfer) -> None:
        self._shelf = shelf
        self._transfer = transfer

    async def answer(self, request: web.BaseRequest, path: list[str]) -> web.StreamResponse:
        """Raises ApiError."""
        try:
            return await self._answer(request, path)
        except RuntimeFailure as failure:
            raise refusal(failure) from failure

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
            case "POST", ["login"]:
                asked = await _asked(request)
                await self._transfer.login(_text(asked, "host"), credentials(asked.get("auth")))
                return _json({})
        raise NotFound(f"the agent has nothing at {request.method} {request.path}")


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
    except (RuntimeFailure, ApiError) as error:
        known = refusal(error) if isinstance(error, RuntimeFailure) else error
        await response.write(msgspec.json.encode({"error": known.message, "code": known.code}) + b"\n")
    await response.write_eof()
    return response


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
