"""Logs of services and tasks: `docker service logs`.

Lines come in frames (Engine API, "Stream format"): a byte for the stream, three of zeros, four for the length. With `details`
each line says first whose it is, and with `timestamps` when it was written before that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from aiohttp import web

from motet.base import timestamps
from motet.base.errors import ApiError
from motet.dialects.docker import services, tasks
from motet.dialects.docker.call import Call
from motet.dialects.docker.errors import bad
from motet.dialects.docker.ids import of_document
from motet.dialects.docker.router import Route
from motet.kinds import pod as pod_kind
from motet.store.document import Document

Json = dict[str, Any]

STDOUT, STDERR = 1, 2
_STREAMS = {b"stdout": STDOUT, b"stderr": STDERR}
_LOOK_EVERY = 1.0
_LONGEST_LINE = 1 << 20


def streams(query: Mapping[str, str]) -> frozenset[int]:
    """Which streams are asked for."""
    names = (("stdout", STDOUT), ("stderr", STDERR))
    return frozenset(stream for name, stream in names if query.get(name, "").lower() in ("1", "true"))


def options(query: Mapping[str, str]) -> dict[str, str]:
    """The kernel's options for what Docker asks for (core/v1 PodLogOptions, and each line's stream). Raises DockerError."""
    wanted = {name for name in ("stdout", "stderr") if query.get(name, "").lower() in ("1", "true")}
    if not wanted:
        raise bad("Bad parameters: you must choose at least one stream")
    found = {"timestamps": "true", "named": "true"}
    tail = query.get("tail", "all")
    # Of the last lines, both streams' are counted.
    if tail not in ("all", "", "-1"):
        if not tail.isdigit():
            raise bad(f"tail: {tail!r} is no number of lines")
        found["tailLines"] = tail
    elif len(wanted) == 1:
        found["stream"] = wanted.pop().capitalize()
    since = query.get("since", "")
    if since not in ("", "0"):
        found["sinceTime"] = moment(since)
    return found


def moment(text: str) -> str:
    """A time as Go's clients send it, seconds with a fraction or RFC 3339, as the latter to the microsecond. Raises DockerError."""
    try:
        if text.replace(".", "", 1).isdigit():
            seconds, _, fraction = text.partition(".")
            whole = datetime.fromtimestamp(int(seconds), UTC)
            found = whole + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
        else:
            found = timestamps.parse_time(text)
        return timestamps.format_micro_time(found)
    except (ValueError, OverflowError, OSError) as error:
        raise bad(f"since: {text!r} is no time") from error


class Line(NamedTuple):
    """One line of a container's, with its end; `time` is empty for what continues the one before."""

    time: str
    stream: int
    text: bytes


def parse(line: bytes, before: int = STDOUT) -> Line:
    """A line of the kernel's log, as `options` has it written: time, stream, text."""
    time, _, rest = line.partition(b" ")
    name, _, text = rest.partition(b" ")
    stream = _STREAMS.get(name)
    return Line("", before, line) if stream is None else Line(time.decode(errors="replace"), stream, text)


def frame(line: Line, details: str, *, timestamps: bool) -> bytes:
    """A line as a frame, with what was asked for before its text."""
    content = marked(line, details, timestamps=timestamps)
    return bytes((line.stream, 0, 0, 0)) + len(content).to_bytes(4, "big") + content


def marked(line: Line, details: str, *, timestamps: bool) -> bytes:
    """The text of a line, with its time and whose it is before it."""
    parts = [line.time] if timestamps and line.time else []
    if details and line.time:
        parts.append(details)
    return "".join(f"{part} " for part in parts).encode() + line.text


def details_of(task: Json) -> str:
    """Whose a line is, as the command line reads it."""
    facts = {
        "com.docker.swarm.node.id": task["NodeID"],
        "com.docker.swarm.service.id": task["ServiceID"],
        "com.docker.swarm.task.id": task["ID"],
    }
    return ",".join(f"{quote(key)}={quote(value)}" for key, value in facts.items())


async def lines(call: Call, pod: Document, query: Mapping[str, str]) -> AsyncIterator[Line]:
    """The log of a pod's container, read with `options`. Raises ApiError, ConnectionError."""
    rest, stream, continued = b"", STDOUT, False
    path = pod_kind.KIND.path(pod.namespace, pod.name, "log")
    async for chunk in call.client.stream(path, query):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            whole, rest, ends = [*whole, rest], b"", False
        else:
            ends = True
        for index, text in enumerate(whole):
            last = index == len(whole) - 1
            end = b"\n" if ends or not last else b""
            line = Line("", stream, text + end) if continued else parse(text + end, stream)
            stream, continued = line.stream, not end
            yield line
    if rest:
        yield Line("", stream, rest) if continued else parse(rest, stream)


class _Reading:
    """The logs of tasks, each read by a task of its own, on the way to one client."""

    def __init__(self, call: Call, response: web.StreamResponse) -> None:
        self._call = call
        self._response = response
        self._query = options(call.query)
        self._follow = call.flag("follow")
        self._started: dict[str, asyncio.Task[None]] = {}

    async def run(self, service: str = "", task: str = "") -> None:
        """Until every log is at its end; when following, until the client leaves."""
        try:
            while True:
                for shown, pod, _ in await tasks.everything(self._call):
                    if task in ("", shown["ID"]) and service in ("", shown["ServiceID"]) and _has_log(shown):
                        self._start(shown, pod)
                if not self._follow:
                    await asyncio.gather(*self._started.values())
                    return
                await self._call.engine.clock.sleep(_LOOK_EVERY)
        finally:
            for each in self._started.values():
                each.cancel()
            await asyncio.gather(*self._started.values(), return_exceptions=True)

    def _start(self, shown: Json, pod: Document) -> None:
        if shown["ID"] not in self._started:
            self._started[shown["ID"]] = asyncio.create_task(self._read(shown, pod))

    async def _read(self, shown: Json, pod: Document) -> None:
        query = {**self._query, **({"follow": "true"} if self._follow else {})}
        details = details_of(shown) if self._call.flag("details") else ""
        wanted = streams(self._call.query)
        # A task may end, and its node with it, while it is being read: what was read is what there is.
        with contextlib.suppress(ApiError, ConnectionError):
            async for line in lines(self._call, pod, query):
                if line.stream in wanted:
                    await self._response.write(frame(line, details, timestamps=self._call.flag("timestamps")))


def _has_log(task: Json) -> bool:
    return bool(task["NodeID"]) and "ContainerStatus" in task["Status"]


async def _serve(call: Call, service: str, task: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/vnd.docker.multiplexed-stream"})
    reading = _Reading(call, response)
    await response.prepare(call.request)
    await reading.run(service, task)
    await response.write_eof()
    return response


async def of_service(call: Call) -> web.StreamResponse:
    return await _serve(call, of_document(await services.find(call, call.path["id"])), "")


async def of_task(call: Call) -> web.StreamResponse:
    shown, _, _ = await tasks.find(call, call.path["id"])
    return await _serve(call, "", shown["ID"])


ROUTES = (
    Route("GET", "/services/{id}/logs", of_service),
    Route("GET", "/tasks/{id}/logs", of_task),
)
