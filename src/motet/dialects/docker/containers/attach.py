"""`docker attach`, and the way in which `docker run` shows what its container says.

Who attaches before the start must see all from the first byte on, which no connection to a process that already runs can
promise: so the output is read from the node's log, which has everything. With a terminal and a keyboard the process itself is
talked to, and what it said before that is taken from the log. A container that is to go when it has ended stays as long as
somebody is still reading (`holding`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from aiohttp import web

from motet.base import timestamps
from motet.base.errors import ApiError, NotFound
from motet.dialects.docker import logs
from motet.dialects.docker.call import Call, empty
from motet.dialects.docker.containers import exec, hijack, known, output, process, watching
from motet.dialects.docker.containers.hijack import Connection
from motet.dialects.docker.containers.keys import keys_of
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.containers.process import Detached, Process
from motet.dialects.docker.errors import DockerError, bad
from motet.dialects.docker.router import Route
from motet.kinds import pod as pod_kind
from motet.kinds import podtemplate as template_kind
from motet.store.document import Document

# On a PodTemplate, one for each reader: until when it is not to be removed.
HELD = "held.docker.motet.dev/"
_HOLD = timedelta(seconds=60)
_RENEW = 20.0
_EVERYTHING = {"timestamps": "true", "named": "true"}


@contextlib.asynccontextmanager
async def holding(call: Call, container: Container) -> AsyncIterator[None]:
    """Keep a container that removes itself from doing so before this block is over, or a minute after we have died."""
    template = container.template
    if template is None or known.REMOVE not in (template.meta.annotations or {}):
        yield
        return
    key = HELD + secrets.token_hex(6)

    async def say(value: str | None) -> None:
        change = {"metadata": {"annotations": {key: value}}}
        with contextlib.suppress(NotFound):
            await call.client.patch(template_kind.KIND, template.name, change, template.namespace)

    def until() -> str:
        return timestamps.format_time(call.engine.clock.now() + _HOLD)

    async def renew() -> None:
        while True:
            await call.engine.clock.sleep(_RENEW)
            with contextlib.suppress(ApiError):
                await say(until())

    await say(until())
    renewing = asyncio.create_task(renew())

    async def release() -> None:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await say(None)

    try:
        yield
    finally:
        # Beside the request, which may be being cancelled since its client has left.
        call.engine.sessions.keep(release())


async def _started(call: Call, container: Container) -> Container | None:
    """The container once a run has begun after the one it has now; None when none will."""
    assert container.template is not None
    template = container.template
    before = container.pod.meta.uid if container.pod is not None else ""

    def newest(documents: Sequence[Document]) -> Container | None:
        found = known.of_template(template, documents)
        if found.pod is None or found.pod.meta.uid == before:
            return None
        status = found.status
        there = status is not None and (status.state.running is not None or status.state.terminated is not None)
        return found if there or not found.runs else None

    query = {"labelSelector": f"{known.LABEL}={template.name}"}
    with call.engine.sessions.waiting(container.id) as failed:
        begun = asyncio.ensure_future(watching.until(call, pod_kind.KIND, query, newest))
        gone = asyncio.ensure_future(_removed(call, template))
        try:
            await asyncio.wait((begun, gone, failed), return_when=asyncio.FIRST_COMPLETED)
            return begun.result() if begun.done() else None
        finally:
            for task in (begun, gone):
                task.cancel()
            await asyncio.gather(begun, gone, return_exceptions=True)


async def _removed(call: Call, template: Document) -> bool:
    query = {"fieldSelector": f"metadata.name={template.name}"}

    def look(documents: Sequence[Document]) -> bool | None:
        return None if any(each.meta.uid == template.meta.uid for each in documents) else True

    return await watching.until(call, template_kind.KIND, query, look)


class _Attachment:
    """One client at one container."""

    def __init__(self, call: Call, connection: Connection, keys: bytes, *, tty: bool, stdin: bool) -> None:
        self._call = call
        self._connection = connection
        self._keys = keys if tty else b""
        self._tty = tty
        self._stdin = stdin
        self._outputs = logs.streams(call.query)

    async def _write(self, stream: int, data: bytes) -> None:
        if stream in self._outputs:
            await self._connection.write(stream, data)

    async def from_the_start(self, container: Container) -> None:
        """A run that has just begun: everything it says, and what the client says goes there."""
        if self._tty and self._stdin:
            await self.live(container, replay=True)
            return
        feeding = asyncio.create_task(self._feed(container)) if self._stdin else None
        try:
            async for line in output.entries(self._call, container, _EVERYTHING, follow=True):
                await self._write(line.stream, line.text)
        finally:
            if feeding is not None:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(self, container: Container) -> None:
        """Standard input alone. A process that has ended before it was fed is none to feed."""
        with contextlib.suppress(ApiError, DockerError, ConnectionError):
            running = await Process.open(
                self._call, container, "attach", stdin=True, stdout=False, stderr=False, tty=False
            )
            try:
                await process.both(running.feed(self._connection), running.output(self._write))
            finally:
                await running.close()

    async def live(self, container: Container, *, replay: bool) -> None:
        """A process that runs: its bytes as they come. `replay`: with what it said before, as far as the log has it."""
        try:
            running = await Process.open(
                self._call, container, "attach", stdin=self._stdin, stdout=True, stderr=True, tty=self._tty
            )
        except ApiError:
            if replay:
                await self._log(container, b"")
            return
        early = bytearray()
        ready = asyncio.Event()

        async def write(stream: int, data: bytes) -> None:
            if ready.is_set():
                await self._write(stream, data)
            else:
                early.extend(data)

        if not replay:
            ready.set()
        if self._tty:
            await self._call.engine.sessions.attach(container.id, running)
        feeding = running.feed(self._connection, self._keys) if self._stdin else None
        talking = asyncio.ensure_future(process.both(feeding, running.output(write)))
        try:
            if replay:
                await self._log(container, bytes(early))
                if early:
                    await self._write(hijack.STDOUT, bytes(early))
                ready.set()
            await talking
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            self._call.engine.sessions.detach(container.id, running)
            await running.close()

    async def _log(self, container: Container, live: bytes) -> None:
        """What the log has up to now, without its end that the process' own bytes begin with."""
        text = bytearray()
        with contextlib.suppress(ApiError):
            async for line in output.entries(self._call, container, _EVERYTHING, follow=False):
                text.extend(line.text)
        if kept := output.before(bytes(text), live):
            await self._write(hijack.STDOUT, kept)

    async def replayed(self, container: Container, *, follow: bool) -> None:
        """What it has said so far, and when following what it says from now on."""
        async for line in output.entries(self._call, container, _EVERYTHING, follow=follow):
            await self._write(line.stream, line.text)


async def serve(call: Call) -> web.StreamResponse:
    container = await known.found_in(call)
    keys = keys_of(call.query.get("detachKeys", ""))
    part = container.spec
    tty = part.tty if part is not None else bool(container.request.get("Tty"))
    opened = part.stdin if part is not None else bool(container.request.get("OpenStdin"))
    if container.state == known.RESTARTING:
        raise DockerError(409, f"Container {container.id} is restarting, wait until the container is running")
    if not (call.flag("stream") or call.flag("logs")):
        raise bad("stream or logs is needed")
    waits = container.template is not None and container.state in (known.CREATED, known.EXITED)
    async with holding(call, container), hijack.taken_over(call, terminal=tty) as connection:
        attachment = _Attachment(call, connection, keys, tty=tty, stdin=call.flag("stdin") and opened)
        # The head is gone: whatever goes wrong from now on is the end of the stream.
        with contextlib.suppress(ApiError, DockerError, ConnectionError, Detached):
            if not call.flag("stream"):
                await attachment.replayed(container, follow=False)
            elif waits:
                started = await _started(call, container)
                if started is not None:
                    await attachment.from_the_start(started)
            elif call.flag("logs") and not call.flag("stdin"):
                await attachment.replayed(container, follow=True)
            else:
                await attachment.live(container, replay=call.flag("logs"))
    return hijack.gone()


async def resize(call: Call) -> web.Response:
    container = await known.found_in(call)
    await call.engine.sessions.resize(container.id, *exec.size_of(call))
    return empty()


ROUTES = (
    Route("POST", "/containers/{id}/attach", serve),
    Route("POST", "/containers/{id}/resize", resize),
)
