"""One request on its way, and what the handlers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import web

from motet.api.users import User
from motet.base.clock import Clock
from motet.client.interface import Client
from motet.client.remote import RemoteClient
from motet.dialects.docker.errors import bad
from motet.dialects.docker.events.log import Event, EventLog
from motet.dialects.docker.execs import Sessions
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.filters import Filters
from motet.dialects.docker.versions import Version

JSON = "application/json"


class Recorder(Protocol):
    """What brings the kernel's changes into the log of events."""

    async def begun(self) -> None:
        """Return once nothing that happens from now on is missed."""
        ...


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What does not change while the manager runs.

    `connect` makes a client that acts as a user; whoever calls it closes it. Docker knows no namespaces: everything it sees and
    makes is in `namespace`.
    """

    connect: Callable[[User], RemoteClient]
    clock: Clock
    # The manager, as others reach it.
    address: str
    api_port: int
    roots: Callable[[], bytes]
    # Of `seals`; only managers have it.
    seal_key: Callable[[], bytes]
    pods: str = ""
    # Where nodes keep volumes.
    volumes_dir: Path = Path("/var/lib/motet/volumes")
    data_dir: Path = Path("/var/lib/motet")
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    sessions: Sessions = field(default_factory=Sessions)


class Voice(Protocol):
    """Whoever acts for Docker: a request, in the name of who asks, or a loop of the manager's own."""

    @property
    def client(self) -> Client: ...

    @property
    def engine(self) -> Engine: ...


@dataclass(slots=True)
class Call:
    """A request that has found its handler. `client` acts as whoever asks."""

    request: web.BaseRequest
    version: Version
    user: User
    engine: Engine
    client: RemoteClient
    path: Mapping[str, str]
    events: EventLog
    recorder: Recorder

    def note(self, type: str, action: str, identifier: str, **attributes: str) -> None:
        """Tell those who watch events of something that is not in the kernel."""
        self.events.note(Event(type, action, identifier, attributes, at=self.engine.clock.now().timestamp()))

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.rel_url.query

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth in the query, as Go's clients write it."""
        text = self.query.get(name, "").lower()
        return default if not text else text not in ("0", "no", "false", "none")

    def filters(self, *allowed: str) -> Filters:
        return Filters.parse(self.query.get("filters", ""), allowed)

    async def json(self) -> Any:
        """The body. Raises DockerError 400."""
        data = await self.request.read()
        if not data:
            return None
        try:
            return msgspec.json.decode(data)
        except msgspec.MsgspecError as error:
            raise bad(f"the body is not JSON: {error}") from error

    async def fields(self) -> Fields:
        return Fields(await self.json())


def answer(body: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=msgspec.json.encode(body) + b"\n", status=status, content_type=JSON)


def empty(status: int = 200) -> web.Response:
    return web.Response(status=status)
