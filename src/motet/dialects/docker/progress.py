"""Streams of JSON in which Docker's daemon tells how far it is (`jsonmessage`): one object a line, a failure as the last."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from motet.base.errors import ApiError
from motet.dialects.docker.call import JSON, Call
from motet.dialects.docker.errors import DockerError, translated

Json = dict[str, Any]


class Progress:
    """An answer in lines. Its head goes out with the first, so that what fails before is an error as any other."""

    def __init__(self, call: Call, *, quiet: bool = False) -> None:
        self._request = call.request
        self._quiet = quiet
        self._response: web.StreamResponse | None = None

    async def tell(self, line: Json, *, always: bool = False) -> None:
        """One line, unless only the last word is wanted."""
        if self._quiet and not always:
            return
        if self._response is None:
            self._response = web.StreamResponse(headers={"Content-Type": JSON})
            self._response.enable_chunked_encoding()
            await self._response.prepare(self._request)
        await self._response.write(msgspec.json.encode(line) + b"\r\n")

    async def status(self, text: str, identifier: str = "") -> None:
        await self.tell({"status": text, **({"id": identifier} if identifier else {})})

    async def end(self) -> web.StreamResponse:
        if self._response is None:
            return web.Response(body=b"", content_type=JSON)
        await self._response.write_eof()
        return self._response

    async def fail(self, error: DockerError | ApiError) -> web.StreamResponse:
        """The end of an answer that has begun. Raises the error when none has."""
        if self._response is None:
            raise error
        known = error if isinstance(error, DockerError) else translated(error)
        await self.tell(
            {"errorDetail": {"code": known.code, "message": known.message}, "error": known.message}, always=True
        )
        return await self.end()


def bar(current: int, total: int) -> Json:
    """What is done of something, in bytes."""
    return {"progressDetail": {"current": current, "total": total} if total else {}}
