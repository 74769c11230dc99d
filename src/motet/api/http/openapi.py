"""/openapi/v2 and /openapi/v3: the documents that kubectl explains and validates with.

They are large and change only with the catalogue, so each is made when first asked for, kept compressed as well, and
served with an ETag and (v3) under a URL that names its hash, which clients may keep for ever.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from motet.api import openapi
from motet.api.http import answers
from motet.api.http.negotiate import clauses
from motet.kinds.catalogue import Catalogue

# Clients ask with an @ in the name, which is no valid media type (RFC 6838, 4.2): the answer must not repeat it.
PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V2_NAMES = frozenset({PROTOBUF_V2, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})


@dataclass(frozen=True, slots=True)
class _Made:
    data: bytes
    compressed: bytes
    digest: str


class OpenApi:
    """Serves what `motet.api.openapi` makes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._made: dict[str, _Made] = {}
        self._made_for: tuple[int, ...] = ()

    async def answer(self, path: str, accept: str, known: str, gzipped: bool) -> web.Response | None:
        """The answer, or None for a path that is not ours."""
        kinds = tuple(map(id, self._catalogue))
        if kinds != self._made_for:
            self._made_for, self._made = kinds, {}
        content_type = answers.JSON
        if path == "/openapi/v2":
            if any(clause.media in _V2_NAMES for clause in clauses(accept)):
                content_type = PROTOBUF_V2
                made = await self._once("v2 protobuf", lambda: openapi.v2_document(self._catalogue, protobuf=True))
            else:
                made = await self._once("v2", lambda: openapi.v2_document(self._catalogue, protobuf=False))
        elif path == "/openapi/v3":
            made = await self._once("v3", await self._index())
        else:
            group = path.removeprefix("/openapi/v3/")
            if group not in self._group_paths():
                return None
            made = await self._group(group)
        headers = {"ETag": f'"{made.digest}"', "Vary": "Accept, Accept-Encoding"}
        if made.digest in known:
            return web.Response(status=304, headers=headers)
        if gzipped and len(made.data) >= 1024:
            headers["Content-Encoding"] = "gzip"
            return answers.body(made.compressed, content_type=content_type, headers=headers)
        return answers.body(made.data, content_type=content_type, headers=headers)

    def _group_paths(self) -> dict[str, tuple[str, str]]:
        return {
            (f"apis/{group}/{version}" if group else f"api/{version}"): (group, version)
            for group, versions in self._catalogue.groups().items()
            for version in versions
        }

    async def _group(self, path: str) -> _Made:
        group, version = self._group_paths()[path]
        return await self._once(path, lambda: openapi.v3_document(self._catalogue, group, version))

    async def _index(self) -> Callable[[], bytes]:
        paths = {}
        for path in self._group_paths():
            made = await self._group(path)
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={made.digest}"}
        return lambda: answers.encode({"paths": paths})

    async def _once(self, name: str, make: Callable[[], bytes]) -> _Made:
        made = self._made.get(name)
        if made is None:
            data = make()
            await asyncio.sleep(0)
            compressed = await asyncio.to_thread(gzip.compress, data, 6)
            made = self._made[name] = _Made(data, compressed, hashlib.sha256(data).hexdigest().upper())
        return made
