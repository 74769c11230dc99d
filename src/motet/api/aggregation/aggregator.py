"""The aggregator: which requests are another server's, and what of the others is part of what this one tells of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from motet.api.aggregation import asking, forwarding, local
from motet.api.aggregation.connections import Connections
from motet.api.aggregation.documents import Documents
from motet.api.aggregation.local import GroupVersion, Priorities
from motet.api.aggregation.services import Remote, Services, remote_of
from motet.api.http.calls import Call
from motet.api.http.routes import Target
from motet.api.webhooks.services import Lookup
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.kinds import apiservice
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json
from motet.store.document import Document


class Aggregator:
    """One per manager. `lookup` gives the live tables; `certificate` are the PEM files of the front proxy."""

    def __init__(self, lookup: Lookup, certificate: tuple[Path, Path], clock: Clock) -> None:
        self._services = Services(lookup(apiservice.KIND.resource))
        self._connections = Connections(lookup, certificate)
        self._documents = Documents(self._connections, clock)

    def route(self, target: Target) -> Remote | None:
        """The server that answers for a path: one of its resources, or the list of them; None for this server."""
        remotes = self._services.remotes()
        if not remotes:
            return None
        if target.is_resource:
            return remotes.get((target.group, target.version))
        match target.path.split("/"):
            case ["", "apis", group, version]:
                return remotes.get((group, version))
            case ["", "openapi", "v3", "apis", group, version]:
                return remotes.get((group, version))
            case _:
                return None

    async def forward(self, call: Call, remote: Remote) -> web.StreamResponse:
        """Pass a request on. Raises ApiError until the other server has answered."""
        call.resource = remote.name
        return await forwarding.forward(self._connections, call, remote)

    async def ask(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        """GET a path of another server's for the manager's own loops. Raises ApiError; NotFound when nobody answers for it."""
        return await self.request("GET", path, query, None)

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        """The same with any method, and an object to send along."""
        _, _, group, version, *_ = path.split("/")
        remote = self._services.remotes().get((group, version))
        if remote is None:
            raise NotFound(f"no API {group}/{version} registered")
        return await asking.ask(self._connections, remote, path, query, method, body)

    async def survey(self) -> Mapping[str, Sequence[Json] | str]:
        """By `GROUP/VERSION`, the resources of every other server, or why it does not tell."""
        await self.refresh()
        found: dict[str, Sequence[Json] | str] = {}
        for (group, version), remote in self._services.remotes().items():
            resources, fresh = self._documents.resources(remote)
            why = "" if remote.available and fresh else remote.why if not remote.available else "it does not answer"
            found[f"{group}/{version}"] = why or resources
        return found

    # --- what is told of them -----------------------------------------------------------------------------------------

    async def refresh(self, *, openapi: bool = False) -> None:
        """Have what is told be of now, as far as those who are asked answer."""
        remotes = self._services.remotes()
        if remotes:
            await self._documents.refresh(remotes.values(), openapi=openapi)

    @property
    def generation(self) -> tuple[int, int]:
        """Different whenever anything that is told may be."""
        return self._services.generation, self._documents.generation

    def versions(self) -> Sequence[GroupVersion]:
        """What others answer for."""
        return list(self._services.remotes())

    def resources(self, group: str, version: str) -> tuple[list[Json], bool] | None:
        """The resources (as in an APIResourceList) that another server has, and whether that is of now; None for ours."""
        remote = self._services.remotes().get((group, version))
        return self._documents.resources(remote) if remote is not None else None

    def ordered(self, groups: Mapping[str, Sequence[str]], catalogue: Catalogue) -> dict[str, list[str]]:
        """Groups and versions by the priorities of their APIServices, where there are any yet."""
        custom, said = local.custom_versions(catalogue), self._services.priorities()
        priorities: dict[GroupVersion, Priorities] = {
            (group, version): said.get((group, version)) or local.local_priorities(groups, custom, group, version)
            for group, versions in groups.items()
            for version in versions
        }
        return local.ordered(groups, priorities)

    def openapi_v2(self) -> Iterator[tuple[Remote, Json, str]]:
        """What others say in version 2, with its digest."""
        for remote in self._services.remotes().values():
            document, digest = self._documents.openapi_v2(remote)
            if document and remote.available:
                yield remote, document, digest

    def openapi_v3(self) -> dict[str, str]:
        """By path without a leading slash, the digests of what others say in version 3."""
        found = {}
        for remote in self._services.remotes().values():
            digest = self._documents.openapi_v3(remote)
            if digest and remote.available:
                found[remote.path.removeprefix("/")] = digest
        return found

    # --- for the loop that keeps their condition ----------------------------------------------------------------------

    async def probe(self, document: Document) -> None:
        """Ask the server that an APIService names for a sign of life. Raises Unreachable."""
        remote = remote_of(document)
        if remote is not None:
            await self._documents.probe(remote)

    def reload(self) -> None:
        """Show the renewed certificate from now on. Raises ssl.SSLError, OSError."""
        self._connections.reload()

    async def close(self) -> None:
        await self._connections.close()
