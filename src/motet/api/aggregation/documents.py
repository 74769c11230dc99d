"""What the servers behind APIServices say of themselves: their resources, and their OpenAPI.

Fetched when somebody asks and what is known is old, so that one manager needs nothing from another. A server that does not
answer keeps what it said last, marked stale; nobody waits for it longer than a few seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from motet.api.aggregation import identity
from motet.api.aggregation.connections import Connections, words
from motet.api.aggregation.local import GroupVersion
from motet.api.aggregation.services import Remote, Unreachable
from motet.base.clock import Clock
from motet.kinds.kind import Json

log = logging.getLogger(__name__)

_SECONDS = 5.0
_OLD_AFTER = 30.0
_LARGEST = 32 * 1024 * 1024
_OPENAPI_V2, _OPENAPI_V3 = "/openapi/v2", "/openapi/v3"


@dataclass(slots=True)
class _Known:
    """One document of one server. `digest` is empty until there is one."""

    document: Json = field(default_factory=dict)
    digest: str = ""
    etag: str = ""
    asked_at: float = float("-inf")
    fresh: bool = False


class Documents:
    """One per manager. `generation` counts what has become different."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._known: dict[tuple[str, GroupVersion], _Known] = {}
        self.generation = 0

    async def probe(self, remote: Remote) -> None:
        """Ask for its resources, whatever is known. Raises Unreachable for no answer or one that is not theirs."""
        path = remote.path
        url = f"{remote.url}{path}"
        try:
            await self._fetch(remote, path, "resources", _check_resources)
        except _Failure as error:
            raise remote.unavailable(f"failing or missing response from {url}: {error}") from error

    def resources(self, remote: Remote) -> tuple[list[Json], bool]:
        """The resources as its APIResourceList has them, and whether it said so lately."""
        known = self._known.get(("resources", (remote.group, remote.version)), _Known())
        return known.document.get("resources") or [], known.fresh and remote.available

    def openapi_v2(self, remote: Remote) -> tuple[Json, str]:
        """Its OpenAPI in version 2 and the digest of that; both empty for none."""
        known = self._known.get(("v2", (remote.group, remote.version)), _Known())
        return known.document, known.digest

    def openapi_v3(self, remote: Remote) -> str:
        """The digest of its OpenAPI in version 3, empty for none."""
        known = self._known.get(("v3", (remote.group, remote.version)), _Known())
        paths = known.document.get("paths")
        listed = paths.get(remote.path.removeprefix("/")) if isinstance(paths, dict) else None
        return hashlib.sha256(msgspec.json.encode(listed)).hexdigest().upper() if listed else ""

    async def refresh(self, remotes: Iterable[Remote], *, openapi: bool = False) -> None:
        """Ask again whoever has not been asked lately. Never raises for a server that does not answer."""
        remotes = list(remotes)
        served = {(remote.group, remote.version) for remote in remotes}
        for key in [key for key in self._known if key[1] not in served]:
            del self._known[key]
            self.generation += 1
        asking: list[Awaitable[None]] = []
        for remote in remotes:
            if not remote.available:
                continue
            wanted = [("resources", remote.path, _check_resources)]
            if openapi:
                wanted += [("v2", _OPENAPI_V2, _check_v2), ("v3", _OPENAPI_V3, _check_v3)]
            asking += [self._renew(remote, *each) for each in wanted if self._is_old(remote, each[0])]
        await asyncio.gather(*asking)

    def _is_old(self, remote: Remote, what: str) -> bool:
        known = self._known.get((what, (remote.group, remote.version)))
        return known is None or self._clock.monotonic() - known.asked_at >= _OLD_AFTER

    async def _renew(self, remote: Remote, what: str, path: str, check: Callable[[Json, Remote], None]) -> None:
        try:
            await self._fetch(remote, path, what, check)
        except (_Failure, Unreachable) as error:
            log.info("%s of %s: %s", path, remote.name, error)

    async def _fetch(self, remote: Remote, path: str, what: str, check: Callable[[Json, Remote], None]) -> None:
        """Raises _Failure, Unreachable."""
        known = self._known.setdefault((what, (remote.group, remote.version)), _Known())
        known.asked_at = self._clock.monotonic()
        before = (known.digest, known.fresh)
        known.fresh = False
        try:
            found = await self._get(remote, path, known.etag)
            if found is not None:
                data, etag = found
                known.document, known.digest, known.etag = _decoded(data, remote, check), _digest(data), etag
            known.fresh = True
        finally:
            if before != (known.digest, known.fresh):
                self.generation += 1

    async def _get(self, remote: Remote, path: str, etag: str) -> tuple[bytes, str] | None:
        """Body and ETag; None for what has not changed. Raises _Failure, Unreachable."""
        headers = CIMultiDict([("Accept", "application/json"), *identity.told(identity.AGGREGATOR)])
        if etag:
            headers["If-None-Match"] = etag
        context = self._connections.context(remote)
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self._connections.session.get(
                    URL(remote.url + path, encoded=True),
                    headers=headers,
                    ssl=context,
                    allow_redirects=False,
                    skip_auto_headers=("Accept-Encoding",),
                ) as answer,
            ):
                if answer.status == 304 and etag:
                    return None
                data = await answer.content.read(_LARGEST)
                if answer.status != 200:
                    raise _Failure(f"bad status {answer.status}")
                return data, answer.headers.get("ETag", "")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _Failure(words(error)) from error


class _Failure(Exception):
    """No answer, or none that can be used."""


def _decoded(data: bytes, remote: Remote, check: Callable[[Json, Remote], None]) -> Json:
    try:
        document: Any = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise _Failure(f"the answer is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _Failure("the answer is no object")
    check(document, remote)
    return document


def _check_resources(document: Json, remote: Remote) -> None:
    listed = document.get("resources")
    if document.get("kind") != "APIResourceList" or not isinstance(listed, list | None):
        raise _Failure("the answer is no APIResourceList")
    if document.get("groupVersion") != f"{remote.group}/{remote.version}":
        raise _Failure(f"the answer is about {document.get('groupVersion')!r}")
    for each in listed or ():
        named = isinstance(each, dict) and isinstance(each.get("name"), str) and isinstance(each.get("kind"), str)
        if not named or not isinstance(each.get("verbs"), list):
            raise _Failure("the answer has a resource without name, kind or verbs")


def _check_v2(document: Json, remote: Remote) -> None:
    if document.get("swagger") != "2.0":
        raise _Failure("the answer is no OpenAPI 2.0")


def _check_v3(document: Json, remote: Remote) -> None:
    if not isinstance(document.get("paths"), dict):
        raise _Failure("the answer is no list of OpenAPI 3 documents")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest().upper()
