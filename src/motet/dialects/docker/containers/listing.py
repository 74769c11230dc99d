"""`docker ps`, `docker inspect`, `docker port`.

A list shows the containers of the manager's own node, as a machine's own daemon would; `--filter node=NAME` those of another, and
`node=*` all. By identifier and name each is reached wherever it runs.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from motet.dialects.docker import networks, nodes, objects, volumes
from motet.dialects.docker.call import Call, answer
from motet.dialects.docker.containers import inside, known, shown
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.errors import bad, unsupported
from motet.dialects.docker.filters import Filters
from motet.dialects.docker.router import Route
from motet.kinds import persistentvolume as volume_kind

Json = dict[str, Any]

_FILTERS = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name", "network", "node", "publish", "since",
    "status", "volume",
)  # fmt: skip
_STATES = frozenset({"created", "dead", "exited", "paused", "removing", "restarting", "running"})
_EVERYWHERE = "*"


async def claims(call: Call) -> dict[str, tuple[str, str]]:
    """(name in Docker, path on its node) of every volume, by the claim's name."""
    paths = {each.name: each.view(volumes.VolumeView).path for each in await call.client.list(volume_kind.KIND)}
    return {
        each.name: (objects.name_of(each.meta), paths.get(each.view(volumes.ClaimView).spec.volume_name, ""))
        for each in await volumes.known(call)
    }


async def ls(call: Call) -> web.Response:
    filters = call.filters(*_FILTERS)
    if call.flag("size"):
        raise unsupported("size", "what a container has written is not counted")
    if unknown := next((each for each in filters.values("status") if each not in _STATES), ""):
        raise bad(f"invalid filter 'status={unknown}'")
    every = await known.everything(call)
    lines = await _lines(call, every)
    everywhere = sorted(lines, key=lambda pair: pair[0].created, reverse=True)
    node = await _node(call, filters)
    limit = _limit(call)
    # A filter on how containers are looks at ended ones, too.
    ended = call.flag("all") or limit or "status" in filters or "exited" in filters
    found = [
        line
        for container, line in everywhere
        if (not node or container.node in (node, ""))
        and (ended or line["State"] in (known.RUNNING, known.RESTARTING, known.REMOVING))
        and _selected(container, line, filters, call, everywhere)
    ]
    return answer(found[:limit] if limit else found)


def _limit(call: Call) -> int:
    text = call.query.get("limit", "")
    if not text or text in ("-1", "0"):
        return 0
    if not text.isdigit():
        raise bad(f"limit: {text!r} is no number")
    return int(text)


async def _node(call: Call, filters: Filters) -> str:
    asked = filters.values("node")
    if not asked:
        return await known.home(call)
    return "" if _EVERYWHERE in asked else (await nodes.find(call, asked[0])).name


async def _lines(call: Call, containers: list[Container]) -> list[tuple[Container, Json]]:
    now = call.engine.clock.now()
    by_name = shown.by_kernel_name(await networks.known(call))
    of_claims = await claims(call)
    return [(each, shown.line(each, now, call.engine.namespace, by_name, of_claims)) for each in containers]


def _selected(
    container: Container, line: Json, filters: Filters, call: Call, everywhere: list[tuple[Container, Json]]
) -> bool:
    exited = filters.values("exited")
    ended = container.ended
    code = str(ended.exit_code) if ended is not None and line["State"] == known.EXITED else ""
    is_task = filters.truth("is-task")
    mounted = [str(mount[key]) for mount in line["Mounts"] for key in ("Name", "Destination") if mount.get(key)]
    joined = [text for name, each in line["NetworkSettings"]["Networks"].items() for text in (name, each["NetworkID"])]
    published = {f"{port['PublicPort']}/{port['Type']}" for port in line["Ports"]}
    private = {f"{port['PrivatePort']}/{port['Type']}" for port in line["Ports"]}
    return (
        filters.begins("id", container.id)
        and filters.contains("name", container.name, f"/{container.name}")
        and filters.labels(container.labels)
        and filters.matches("status", line["State"])
        and (not exited or code in exited)
        and (is_task is None or is_task is ("com.docker.swarm.task.id" in container.labels))
        and filters.matches("ancestor", container.image, container.image.partition(":")[0], line["ImageID"])
        and filters.matches("health", shown.health(container, call.engine.clock.now()))
        and filters.matches("volume", *mounted)
        and filters.begins("network", *joined)
        and _has_port(filters.values("publish"), published)
        and _has_port(filters.values("expose"), private)
        and all(container.created > _created(each, everywhere) for each in filters.values("since"))
        and all(container.created < _created(each, everywhere) for each in filters.values("before"))
    )


def _has_port(wanted: tuple[str, ...], there: set[str]) -> bool:
    """Whether one of `PORT[-PORT][/PROTOCOL]` is there."""
    if not wanted:
        return True
    for text in wanted:
        numbers, _, protocol = text.partition("/")
        first, _, last = numbers.partition("-")
        if not first.isdigit() or (last and not last.isdigit()) or max(int(first), int(last or 0)) > 65535:
            raise bad(f"invalid port {text!r}")
        if any(f"{number}/{protocol or 'tcp'}" in there for number in range(int(first), int(last or first) + 1)):
            return True
    return False


def _created(asked: str, everywhere: list[tuple[Container, Json]]) -> str:
    for container, _ in everywhere:
        if container.name == asked or container.id.startswith(asked):
            return container.created
    raise bad(f"No such container: {asked}")


async def inspect(call: Call) -> web.Response:
    if call.flag("size"):
        raise unsupported("size", "what a container has written is not counted")
    container = await known.found_in(call)
    by_name = shown.by_kernel_name(await networks.known(call))
    now = call.engine.clock.now()
    found = shown.everything(container, now, call.engine.namespace, by_name, await claims(call))
    found["State"]["Pid"] = await inside.first_pid(call, container)
    shown.tell_names(found, container)
    return answer(found)


ROUTES = (
    Route("GET", "/containers/json", ls),
    Route("GET", "/containers/{id}/json", inspect),
)
