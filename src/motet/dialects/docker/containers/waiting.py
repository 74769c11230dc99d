"""`docker wait`, and how `docker run` learns of the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from motet.dialects.docker.call import JSON, Call
from motet.dialects.docker.containers import known, output, watching
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.errors import bad
from motet.dialects.docker.router import Route
from motet.kinds import pod as pod_kind
from motet.kinds import podtemplate as template_kind
from motet.store.document import Document

Json = dict[str, Any]

_NOT_RUNNING, _NEXT_EXIT, _REMOVED = "not-running", "next-exit", "removed"
# The last word of a run that is removed together with its container comes by another connection.
_LAST_WORD = 5.0


def code_of(container: Container) -> int:
    """How its last run ended; 0 for one that never ran."""
    ended = container.ended
    return ended.exit_code if ended is not None else 0


class _Runs:
    """The runs of one container as they come and go."""

    def __init__(self, call: Call, container: Container) -> None:
        self._call = call
        self._container = container
        self._uid = container.pod.meta.uid if container.pod is not None else ""
        # A run that is over already is not the next to end.
        self._over = "" if container.runs else self._uid
        self.code: int | None = None

    def _query(self) -> dict[str, str]:
        if self._container.template is not None:
            return {"labelSelector": f"{known.LABEL}={self._container.template.name}"}
        assert self._container.pod is not None
        return {"fieldSelector": f"metadata.name={self._container.pod.name}"}

    def _now(self, documents: Sequence[Document]) -> Container:
        if self._container.template is not None:
            return known.of_template(self._container.template, documents)
        found = next((each for each in documents if each.meta.uid == self._uid), None)
        return output.with_pod(self._container, found)

    async def end(self) -> int:
        """The exit code of the run that ends next, or has ended since we began."""

        def look(documents: Sequence[Document]) -> int | None:
            now = self._now(documents)
            if now.pod is None or now.pod.meta.uid == self._over:
                # What ran is there no more.
                return 137 if self._container.runs and now.pod is None else None
            status = now.status
            if now.template is None and status is not None and status.state.terminated is not None:
                return status.state.terminated.exit_code
            if not now.runs:
                self.code = code_of(now)
                return self.code
            return None

        self.code = await watching.until(self._call, pod_kind.KIND, self._query(), look)
        return self.code


async def _removed(call: Call, container: Container) -> int:
    """Its last exit code, once it is there no more."""
    runs = _Runs(call, container)
    if container.template is None:
        return await runs.end()
    uid, name = container.template.meta.uid, container.template.name

    def look(documents: Sequence[Document]) -> bool | None:
        return None if any(each.meta.uid == uid for each in documents) else True

    ending = asyncio.ensure_future(runs.end())
    try:
        await watching.until(call, template_kind.KIND, {"fieldSelector": f"metadata.name={name}"}, look)
        if container.runs or runs.code is None:
            await asyncio.wait((ending,), timeout=_LAST_WORD)
        return runs.code if runs.code is not None else code_of(container)
    finally:
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


async def wait(call: Call) -> web.StreamResponse:
    container = await known.found_in(call)
    condition = call.query.get("condition") or _NOT_RUNNING
    if condition not in (_NOT_RUNNING, _NEXT_EXIT, _REMOVED):
        raise bad(f"invalid condition: {condition!r}")
    # Clients start the container once they have the head.
    response = web.StreamResponse(headers={"Content-Type": JSON})
    await response.prepare(call.request)
    await response.write(b"")
    if condition == _REMOVED:
        code = await _removed(call, container)
    elif condition == _NOT_RUNNING and not container.runs:
        code = code_of(container)
    else:
        code = await _Runs(call, container).end()
    await response.write(msgspec.json.encode({"StatusCode": code}) + b"\n")
    await response.write_eof()
    return response


ROUTES = (Route("POST", "/containers/{id}/wait", wait),)
