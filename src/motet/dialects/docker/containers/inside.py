"""What the container's node knows of its inside: `docker top`, `stats`, `cp`, and signals.

The node's agent is asked by the API's own way there, `/api/v1/nodes/NAME/proxy`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from motet.base import quantity
from motet.base.errors import ApiError
from motet.dialects.docker import nodes, objects
from motet.dialects.docker.call import JSON, Call, answer
from motet.dialects.docker.containers import known, shown
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.errors import DockerError, bad, not_implemented, unsupported
from motet.dialects.docker.router import Route

Json = dict[str, Any]

_TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
_NANO = 1_000_000_000
_PATIENCE = 2.0
_STAT = "X-Docker-Container-Path-Stat"


def path_to(container: Container, verb: str) -> str:
    """Where its agent answers. Raises DockerError 409 when it does not run."""
    if container.pod is None or not container.runs or not container.node:
        raise DockerError(409, f"container {container.id} is not running")
    parts = (container.node, "proxy", verb, container.pod.namespace, container.pod.name, container.part)
    return "/api/v1/nodes/" + "/".join(quote(part, safe="") for part in parts)


async def signal(call: Call, container: Container, name: str) -> None:
    """Send its first process a signal. Raises DockerError 409 when it does not run, 400 for what is none."""
    await call.client.request("POST", path_to(container, "signal"), query={"signal": name})


# --- processes --------------------------------------------------------------------------------------------------------


async def _processes(call: Call, container: Container) -> list[Json]:
    return msgspec.json.decode(await call.client.request("GET", path_to(container, "processes")), type=list[Json])


async def first_pid(call: Call, container: Container) -> int:
    """The number of its first process on its node; 0 when it does not run, or its node does not say."""
    if container.state != known.RUNNING:
        return 0
    try:
        # What else is known of a container is not to wait for a node that is away.
        async with asyncio.timeout(_PATIENCE):
            return int((await _processes(call, container))[0]["pid"])
    except (ApiError, DockerError, IndexError, TimeoutError):
        return 0


async def top(call: Call) -> web.Response:
    container = await known.found_in(call)
    if (arguments := call.query.get("ps_args", "")) not in ("", "-ef"):
        raise unsupported("ps_args", f"{arguments!r}: processes are shown as by ps -ef")
    found = await _processes(call, container)
    return answer({"Titles": _TITLES, "Processes": [_row(each) for each in found]})


def _row(process: Json) -> list[str]:
    spent = int(process["cpu"])
    time = f"{spent // 3600:02}:{spent // 60 % 60:02}:{spent % 60:02}"
    tty = "?" if not process["tty"] else f"pts/{process['tty'] & 0xFF}"
    began = datetime.fromtimestamp(process["began"], UTC).strftime("%H:%M")
    return [str(process["uid"]), str(process["pid"]), str(process["parent"]), "0", began, tty, time, process["command"]]


# --- figures ----------------------------------------------------------------------------------------------------------


async def _figures(call: Call, container: Container) -> Json:
    return msgspec.json.decode(await call.client.request("GET", path_to(container, "figures")), type=dict[str, Any])


def sample(container: Container, figures: Json, before: Json, machine: tuple[int, int]) -> Json:
    """One of `docker stats`. `before` is another sample or empty; `machine` (processors, bytes of memory)."""
    processors, memory = machine
    usage = figures["usage"] or {}
    limits = (shown.part_of(shown.document(container), container.part).get("resources") or {}).get("limits") or {}
    # The machine's time counts every processor, as a share of it is what clients show.
    cpu = {
        "cpu_usage": {
            "total_usage": usage.get("cpu", 0),
            "usage_in_kernelmode": 0,
            "usage_in_usermode": usage.get("cpu", 0),
        },
        "system_cpu_usage": int(figures["at"] * _NANO) * processors,
        "online_cpus": processors,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": usage.get("throttled", 0)},
    }
    none = {"cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}}
    cache = usage.get("memory", 0) - usage.get("working_set", 0)
    return {
        "name": f"/{container.name}",
        "id": container.id,
        "read": objects.now(datetime.fromtimestamp(figures["at"], UTC)),
        "preread": before.get("read", objects.time(None)),
        "num_procs": 0,
        "pids_stats": {"current": usage.get("pids", 0)},
        "cpu_stats": cpu,
        "precpu_stats": before.get("cpu_stats", {**none, "throttling_data": cpu["throttling_data"]}),
        "memory_stats": {
            "usage": usage.get("memory", 0),
            "limit": quantity.whole(limits["memory"]) if "memory" in limits else memory,
            # Both names, of either version of control groups, under which clients look for what is cache.
            "stats": {"total_inactive_file": cache, "inactive_file": cache},
        },
        "blkio_stats": {"io_service_bytes_recursive": None},
        "storage_stats": {},
        "networks": figures["interfaces"],
    }


async def stats(call: Call) -> web.StreamResponse:
    container = await known.found_in(call)
    stream = call.flag("stream", True)
    if not container.runs:
        if stream:
            raise DockerError(409, f"container {container.id} is not running")
        return answer({"name": f"/{container.name}", "id": container.id, **_nothing()})
    machine = await _machine(call, container)
    first = sample(container, await _figures(call, container), {}, machine)
    if call.flag("one-shot"):
        return answer(first)
    if not stream:
        await call.engine.clock.sleep(1.0)
        return answer(sample(container, await _figures(call, container), first, machine))
    response = web.StreamResponse(headers={"Content-Type": JSON})
    await response.prepare(call.request)
    await response.write(msgspec.json.encode(first) + b"\n")
    async for each in _samples(call, container, first, machine):
        await response.write(msgspec.json.encode(each) + b"\n")
    await response.write_eof()
    return response


async def _samples(call: Call, container: Container, before: Json, machine: tuple[int, int]) -> AsyncIterator[Json]:
    """One a second, until the container has ended."""
    while True:
        await call.engine.clock.sleep(1.0)
        try:
            before = sample(container, await _figures(call, container), before, machine)
        except (ApiError, DockerError):
            return
        yield before


def _nothing() -> Json:
    return {"read": objects.time(None), "preread": objects.time(None), "cpu_stats": {}, "precpu_stats": {}}


async def _machine(call: Call, container: Container) -> tuple[int, int]:
    found = next((each for each in await nodes.known(call) if each.name == container.node), None)
    resources = nodes.resources(found.view(nodes.NodeView)) if found is not None else {}
    return max(1, resources.get("NanoCPUs", _NANO) // _NANO), resources.get("MemoryBytes", 0)


# --- files ------------------------------------------------------------------------------------------------------------


def _path(call: Call) -> str:
    path = call.query.get("path", "")
    if not path:
        raise bad("bad parameter: path cannot be empty")
    return path


async def archive(call: Call) -> web.StreamResponse:
    """`docker cp` out of a container; a HEAD tells only what is there."""
    container = await known.found_in(call)
    path, where = _path(call), path_to(container, "files")
    told = await call.client.request("GET", where, query={"path": path, "stat": "1"})
    headers = {_STAT: base64.b64encode(told).decode(), "Content-Type": "application/x-tar"}
    if call.request.method == "HEAD":
        return web.Response(headers=headers)
    async with call.client.exchange("GET", where, query=[("path", path)]) as pieces:
        response = web.StreamResponse(headers=headers)
        await response.prepare(call.request)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response


async def unpack(call: Call) -> web.Response:
    """`docker cp` into a container: the body is an archive, perhaps packed."""
    container = await known.found_in(call)
    asked = [("path", _path(call))]
    asked += [(name, "1") for name in ("noOverwriteDirNonDir", "copyUIDGID") if call.flag(name)]
    body = call.request.content.iter_chunked(64 * 1024)
    async with call.client.exchange(
        "PUT", path_to(container, "files"), query=asked, body=body, headers={"Content-Type": "application/x-tar"}
    ):
        return web.Response()


async def _not_paused(call: Call) -> web.Response:
    await known.found_in(call)
    raise not_implemented("containers cannot be paused in Motet: docker stop, or docker update --cpus, may do")


async def _not_compared(call: Call) -> web.Response:
    await known.found_in(call)
    raise not_implemented("what a container has changed in its image is not looked at by Motet")


ROUTES = (
    Route("GET", "/containers/{id}/top", top),
    Route("GET", "/containers/{id}/stats", stats),
    Route("GET", "/containers/{id}/archive", archive),
    Route("PUT", "/containers/{id}/archive", unpack),
    Route("POST", "/containers/{id}/pause", _not_paused),
    Route("POST", "/containers/{id}/unpause", _not_paused),
    Route("GET", "/containers/{id}/changes", _not_compared),
)
