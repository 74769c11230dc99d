"""What containers have said and say: `docker logs`, and the output of one that is attached to before it starts.

It is read from the node's log, in which every line says its stream. A line without an end shows when the process has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from motet.base import timestamps
from motet.base.errors import ApiError, BadRequest, NotFound
from motet.dialects.docker import logs
from motet.dialects.docker.call import Call
from motet.dialects.docker.containers import hijack, known, watching
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.logs import Line
from motet.dialects.docker.pods import PodView
from motet.dialects.docker.router import Route
from motet.kinds import pod as pod_kind

Json = dict[str, Any]


def before(log: bytes, live: bytes) -> bytes:
    """A log without what its end has in common with the beginning of what came over a connection meanwhile."""
    for size in range(min(len(log), len(live)), 0, -1):
        if log.endswith(live[:size]):
            return log[:-size]
    return log


def with_pod(container: Container, pod: Any) -> Container:
    return replace(container, pod=pod)


async def begun(call: Call, container: Container) -> Container:
    """The container as soon as its newest run has a process, or had one; as it is when it never will."""
    assert container.pod is not None
    uid = container.pod.meta.uid

    def look(documents: Any) -> Container:
        found = next((each for each in documents if each.meta.uid == uid), None)
        if found is None:
            return container
        now = with_pod(container, found)
        status, ended = now.status, not now.runs
        has_state = status is not None and (status.state.running or status.state.terminated)
        return now if has_state or ended else None  # type: ignore[return-value]

    return await watching.until(call, pod_kind.KIND, {"fieldSelector": f"metadata.name={container.pod.name}"}, look)


async def _lines(call: Call, container: Container, query: Mapping[str, str]) -> AsyncIterator[Line]:
    """One reading of its log. What came from a terminal ends its lines as a terminal does, which the log leaves out."""
    assert container.pod is not None
    terminal = container.spec is not None and container.spec.tty
    async for line in logs.lines(call, container.pod, query):
        yield line._replace(text=line.text[:-1] + b"\r\n") if terminal and line.text.endswith(b"\n") else line


async def entries(call: Call, container: Container, query: Mapping[str, str], *, follow: bool) -> AsyncIterator[Line]:
    """Lines of its newest run, those before the last restart included. When following, until the run is over."""
    if container.pod is None:
        return
    if follow:
        container = await begun(call, container)
    whole = {**query, "container": container.part}
    if container.status is not None and container.status.restart_count:
        # What the process before the present one has said is there, too, if the node still has it.
        with contextlib.suppress(NotFound, BadRequest):
            async for line in _lines(call, container, {**whole, "previous": "true"}):
                yield line
    while True:
        restarts = container.status.restart_count if container.status is not None else 0
        # A container that has not begun has no log; one whose pod is being taken away may have none any more.
        with contextlib.suppress(NotFound, BadRequest):
            async for line in _lines(call, container, {**whole, **({"follow": "true"} if follow else {})}):
                yield line
        if not follow:
            return
        again = await _restarted(call, container, restarts)
        if again is None:
            return
        container = again
        whole.pop("tailLines", None)


async def _restarted(call: Call, container: Container, restarts: int) -> Container | None:
    """The container once its pod has started it again; None when it will not."""
    assert container.pod is not None
    uid = container.pod.meta.uid

    def look(documents: Any) -> tuple[Container | None] | None:
        found = next((each for each in documents if each.meta.uid == uid), None)
        if found is None:
            return (None,)
        now = with_pod(container, found)
        status = now.status
        if status is not None and status.restart_count > restarts and status.state.running is not None:
            return (now,)
        policy = found.view(PodView).spec.restart_policy
        done = status is not None and status.state.terminated is not None
        code = status.state.terminated.exit_code if status is not None and status.state.terminated else 0
        for_good = done and (policy == "Never" or (policy == "OnFailure" and code == 0))
        return (None,) if for_good or not now.runs or found.meta.deletion_timestamp is not None else None

    query = {"fieldSelector": f"metadata.name={container.pod.name}"}
    return (await watching.until(call, pod_kind.KIND, query, look))[0]


async def serve(call: Call) -> web.StreamResponse:
    """`docker logs`."""
    query = logs.options(call.query)
    wanted = logs.streams(call.query)
    until = call.query.get("until", "")
    last = timestamps.parse_time(logs.moment(until)) if until not in ("", "0") else None
    container = await known.found_in(call)
    terminal = container.spec is not None and container.spec.tty
    kind = hijack.RAW if terminal or call.version < (1, 42) else hijack.MULTIPLEXED
    response = web.StreamResponse(headers={"Content-Type": kind})
    await response.prepare(call.request)
    with_times = call.flag("timestamps")
    # The head is gone: what breaks off from now on is over.
    with contextlib.suppress(ApiError):
        async for line in entries(call, container, query, follow=call.flag("follow")):
            if last is not None and line.time and timestamps.parse_time(line.time) > last:
                break
            if line.stream in wanted:
                text = logs.marked(line, "", timestamps=with_times)
                await response.write(text if terminal else hijack.frame(line.stream, text))
    await response.write_eof()
    return response


ROUTES = (Route("GET", "/containers/{id}/logs", serve),)
