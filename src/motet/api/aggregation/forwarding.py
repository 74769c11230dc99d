"""Passing a request on to the server behind an APIService, and its answer back: watches and upgrades too."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from motet.api.aggregation import identity
from motet.api.aggregation.connections import Connections, words
from motet.api.aggregation.services import Remote
from motet.api.http import answers, proxying, upgrades
from motet.api.http.agents import HEAD_SECONDS
from motet.api.http.calls import Call
from motet.base.errors import ApiError, NotFound

# Upstream's limit on a request that is no watch.
_ANSWER_SECONDS = 60.0
_AS_SENT = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


async def forward(connections: Connections, call: Call, remote: Remote) -> web.StreamResponse:
    """Raises ApiError until the other server has answered; what it answers, errors included, is the answer."""
    if not remote.available:
        raise remote.unavailable(remote.why)
    if not _plain(call.request.rel_url.raw_path):
        raise NotFound("the server could not find the requested resource")
    if upgrades.asked(call.request):
        return await _upgrade(connections, call, remote)
    request = call.request
    body = await call.body() if request.body_exists else None
    fields = identity.request_fields(request.headers.items(), call.user, request.remote or "")
    asking = connections.session.request(
        request.method,
        URL(remote.url + _path(request), encoded=True),
        data=body,
        headers=CIMultiDict(fields),
        skip_auto_headers=_AS_SENT,
        ssl=connections.context(remote),
        allow_redirects=False,
    )
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await asking
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise remote.unavailable(words(error)) from error
    try:
        return await _pass_back(request, answer, remote)
    finally:
        answer.release()  # a connection that has more to come is closed by it


async def _pass_back(request: web.BaseRequest, answer: aiohttp.ClientResponse, remote: Remote) -> web.StreamResponse:
    _refuse_redirect(answer.status, remote)
    fields = CIMultiDict(proxying.hopless(list(answer.headers.items())))
    if request.method == "HEAD" or answer.status in (204, 304):
        return web.Response(status=answer.status, headers=fields)
    response = web.StreamResponse(status=answer.status, headers=fields)
    if "Content-Length" not in fields:
        response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
    except aiohttp.ClientError:
        # The head is gone already: only breaking off tells the client that this is not all.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _upgrade(connections: Connections, call: Call, remote: Remote) -> web.StreamResponse:
    request = call.request
    fields = identity.request_fields(request.headers.items(), call.user, request.remote or "")
    fields += [("Connection", "Upgrade"), ("Upgrade", request.headers.get("Upgrade", ""))]
    endpoint, context = connections.endpoint(remote), connections.context(remote)
    far, status, head, rest = await upgrades.begin(
        endpoint, request.method, _path(request), fields, context, remote.host
    )
    try:
        if status == 101:
            return await upgrades.splice(request, far, far.raw_head + rest)
        _refuse_redirect(status, remote)
        async with asyncio.timeout(HEAD_SECONDS):
            body = await far.body(head, rest)
        return answers.body(body, status=status, content_type=head.get("content-type", "text/plain"))
    finally:
        far.abort()


def _refuse_redirect(status: int, remote: Remote) -> None:
    """A server that sent clients elsewhere could have them show who they are to anybody (CVE-2022-3172)."""
    if 300 <= status < 400 and status != 304:
        message = f"the server behind {remote.path} attempted to redirect this request, which is not permitted"
        raise ApiError(message, code=502, reason="BadGateway")


def _path(request: web.BaseRequest) -> str:
    query = request.rel_url.raw_query_string
    return request.rel_url.raw_path + (f"?{query}" if query else "")


def _plain(raw_path: str) -> bool:
    """Whether everybody reads a path alike: what was allowed must be what is asked for."""
    segments = raw_path.lower().replace("%2e", ".").split("/")[1:]
    if segments and not segments[-1]:
        segments.pop()
    return not any(segment in ("", ".", "..") or "%2f" in segment for segment in segments)
