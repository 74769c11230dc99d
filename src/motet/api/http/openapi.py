"""/openapi/v2 and /openapi/v3: the documents that kubectl explains and validates with.

They are large and change only with the catalogue, so each is made when first asked for, kept compressed as well, and
served with an ETag and (v3) under a URL that names its hash, which clients may keep for ever.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import is_

from aiohttp import web

from motet.api import openapi
from motet.api.aggregation.aggregator import Aggregator
from motet.api.http import answers
from motet.api.http.negotiate import clauses
from motet.api.openapi import merging
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind

# Clients ask with an @ in the name, which is no valid media type (RFC 6838, 4.2): the answer must not repeat it.
PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V2_NAMES = frozenset({PROTOBUF_V2, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})


@dataclass(frozen=True, slots=True)
class _Made:
    data: bytes
    compressed: bytes
    digest: str


class OpenApi:
    """Serves what `motet.api.openapi` makes. A group's document lasts as long as its kinds do, whatever others come and go."""

    def __init__(self, catalogue: Catalogue, aggregator: Aggregator | None = None) -> None:
        self._catalogue = catalogue
        self._aggregator = aggregator
        # With the kinds it was made of, which are compared by identity, and the digests of what others added.
        self._made: dict[str, tuple[tuple[Kind, ...], tuple[str, ...], _Made]] = {}

    async def answer(self, path: str, accept: str, known: str, gzipped: bool) -> web.Response | None:
        """The answer, or None for a path that is not ours."""
        kinds = tuple(self._catalogue)
        content_type = answers.JSON
        if path == "/openapi/v2":
            protobuf = any(clause.media in _V2_NAMES for clause in clauses(accept))
            content_type = PROTOBUF_V2 if protobuf else content_type
            others = list(self._aggregator.openapi_v2()) if self._aggregator is not None else []
            parts = [merging.Part(remote.group, remote.version, document) for remote, document, _ in others]
            digests = tuple(digest for _, _, digest in others)
            made = await self._once(
                f"v2 {protobuf}", kinds, lambda: openapi.v2_document(self._catalogue, protobuf, parts), digests
            )
        elif path == "/openapi/v3":
            added = self._aggregator.openapi_v3() if self._aggregator is not None else {}
            digests = tuple(f"{path} {digest}" for path, digest in added.items())
            made = await self._once("v3", kinds, await self._index(added), digests)
        else:
            group = path.removeprefix("/openapi/v3/")
            if group not in self._group_paths():
                return None
            made = await self._group(group, *self._group_paths()[group])
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

    async def _group(self, path: str, group: str, version: str) -> _Made:
        kinds = tuple(kind for kind in self._catalogue if (kind.group, kind.version) == (group, version))
        return await self._once(path, kinds, lambda: openapi.v3_document(self._catalogue, group, version))

    async def _index(self, added: Mapping[str, str]) -> Callable[[], bytes]:
        """`added`: digests by path of what others have."""
        paths = {}
        groups = self._group_paths()
        for path, (group, version) in groups.items():
            made = await self._group(path, group, version)
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={made.digest}"}
        for path in [path for path in self._made if path.startswith("api") and path not in groups]:
            del self._made[path]
        for path, digest in added.items():
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return lambda: answers.encode({"paths": paths})

    async def _once(
        self, name: str, kinds: tuple[Kind, ...], make: Callable[[], bytes], digests: tuple[str, ...] = ()
    ) -> _Made:
        known = self._made.get(name)
        if known is not None and len(known[0]) == len(kinds) and all(map(is_, known[0], kinds)) and known[1] == digests:
            return known[2]
        data = make()
        await asyncio.sleep(0)
        compressed = await asyncio.to_thread(gzip.compress, data, 6)
        made = _Made(data, compressed, hashlib.sha256(data).hexdigest().upper())
        self._made[name] = (kinds, digests, made)
        return made
