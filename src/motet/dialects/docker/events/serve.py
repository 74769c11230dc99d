"""`GET /events`: the last events that are asked for, and the next ones until a moment, or until the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec
from aiohttp import web

from motet.base.errors import Forbidden
from motet.dialects.docker import images
from motet.dialects.docker.call import JSON, Call
from motet.dialects.docker.errors import bad
from motet.dialects.docker.events.derive import KINDS
from motet.dialects.docker.events.log import Event
from motet.dialects.docker.filters import Filters
from motet.dialects.docker.router import Route
from motet.kinds import node as node_kind

_ACTORS = ("config", "container", "image", "network", "node", "secret", "service", "volume")
_FILTERS = (*_ACTORS, "daemon", "plugin", "event", "label", "scope", "type")


def wanted(event: Event, filters: Filters) -> bool:
    """Whether all filters are for it: any of the values of one, all labels."""
    name = event.attributes.get("name", "")
    return (
        filters.matches("type", event.type)
        and filters.matches("event", event.action)
        and filters.matches("scope", event.scope)
        and filters.labels(event.attributes)
        and all(_is_actor(event, filters, actor, name) for actor in _ACTORS if actor in filters)
        # There are none of these.
        and not any(filters.values(each) for each in ("daemon", "plugin"))
    )


def _is_actor(event: Event, filters: Filters, actor: str, name: str) -> bool:
    if actor == "image" and event.type == "container":
        return filters.matches(actor, event.attributes.get("image", ""))
    return event.type == actor and (filters.begins(actor, event.id) or filters.matches(actor, name))


def moment(call: Call, name: str) -> float | None:
    """A time of the query in seconds since 1970. Raises DockerError."""
    text = call.query.get(name, "")
    return images.moment(text, call.engine.clock.now().timestamp()) if text else None


async def _visible(call: Call) -> Collection[str]:
    """The types of events that the caller may see: what they may list. Raises Forbidden for none at all."""
    found, refused = [], None
    for type, kind in (*((type, kind) for type, kind, _ in KINDS), ("image", node_kind.KIND)):
        try:
            path = kind.path(call.engine.namespace if kind.namespaced else "")
            await call.client.request("GET", path, query={"limit": "1"})
            found.append(type)
        except Forbidden as error:
            refused = error
    if not found and refused is not None:
        raise refused
    return found


async def serve(call: Call) -> web.StreamResponse:
    filters = call.filters(*_FILTERS)
    since, until = moment(call, "since"), moment(call, "until")
    if since is not None and until is not None and since > until:
        raise bad("`since` time must not be later than `until` time")
    visible = await _visible(call)
    await call.recorder.begun()
    response = web.StreamResponse(headers={"Content-Type": JSON})
    response.enable_chunked_encoding()
    with call.events.listening() as (past, coming):
        await response.prepare(call.request)
        # So that clients know that they are heard.
        await response.write(b"")
        for event in past if since is not None else ():
            if since is not None and event.at >= since and (until is None or event.at <= until):
                await _tell(response, event, filters, visible)
        while True:
            left = None if until is None else until - call.engine.clock.now().timestamp()
            if left is not None and left <= 0:
                break
            try:
                async with asyncio.timeout(left):
                    event = await coming.get()
            except TimeoutError:
                break
            await _tell(response, event, filters, visible)
    await response.write_eof()
    return response


async def _tell(response: web.StreamResponse, event: Event, filters: Filters, visible: Collection[str]) -> None:
    if event.type in visible and wanted(event, filters):
        await response.write(msgspec.json.encode(event.json()) + b"\n")


ROUTES = (Route("GET", "/events", serve),)
