"""Asking a server over HTTP and TCP, as probes and hooks do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from aiohttp import web

from motet.pods.actions import Actions, Answer
from motet.pods.spec import HttpGet, HttpHeader, TcpSocket
from support.pods import app, pod

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    server = web.Server(handler)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await server.shutdown(0.1)


async def asked(handler: Handler, timeout: float = 5, **action: Any) -> Answer:
    """What a GET of a container's port, which `handler` serves, comes to."""
    actions = Actions(None)  # type: ignore[arg-type]
    try:
        async with serving(handler) as port:
            container = pod(app(ports=[{"name": "web", "containerPort": port}])).spec.containers[0]
            return await actions.http(container, HttpGet(**{"port": "web", **action}), "127.0.0.1", timeout)
    finally:
        await actions.close()


def answering(status: int, **headers: str) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text="body", headers=headers)

    return answer


@pytest.mark.parametrize(("status", "well"), [(200, True), (204, True), (399, True), (400, False), (500, False)])
async def test_any_status_below_400_is_well(status: int, well: bool):
    assert (await asked(answering(status))).ok is well


async def test_path_and_headers_are_sent():
    seen: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.extend((request.path_qs, request.headers["X-Who"], request.headers["User-Agent"]))
        return web.Response()

    await asked(answer, path="healthz?full=1", http_headers=(HttpHeader("X-Who", "me"),))
    assert seen[:2] == ["/healthz?full=1", "me"]
    assert seen[2].startswith("kube-probe/")


async def test_a_redirect_on_the_same_host_is_followed_to_its_end():
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(status=302, headers={"Location": "/bad"})
        return web.Response(status=500)

    assert (await asked(answer)).output == "HTTP probe failed with statuscode: 500"


async def test_a_redirect_to_another_host_is_well_but_told():
    found = await asked(answering(301, Location="http://0.0.0.0/elsewhere"))
    assert found.ok
    assert found.warning.startswith("Probe terminated redirects")


async def test_redirects_in_a_circle_end():
    found = await asked(answering(302, Location="/"))
    assert (found.ok, found.output) == (False, "stopped after 10 redirects")


async def test_a_server_that_takes_too_long_has_failed():
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    found = await asked(answer, timeout=0.05)
    assert not found.ok
    assert "deadline exceeded" in found.output


async def test_a_closed_port_refuses():
    actions = Actions(None)  # type: ignore[arg-type]
    container = pod().spec.containers[0]
    found = await actions.tcp(container, TcpSocket(1), "127.0.0.1", 5)
    await actions.close()
    assert (found.ok, "refused" in found.output.lower()) == (False, True)


@asynccontextmanager
async def healthy(status: bytes) -> AsyncIterator[int]:
    """A gRPC server whose health service answers so; it fails for services it does not know."""

    async def check(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if request not in (b"", b"\x0a\x03web"):
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return status

    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("status", "service", "output"),
    [
        (b"\x08\x01", "", ""),
        (b"\x08\x01", "web", ""),
        (b"\x08\x02", "", "service unhealthy (responded with status 2)"),
        (b"\x08\x01", "other", "service unhealthy: not_found: unknown service"),
    ],
)
async def test_the_grpc_health_service_is_asked(status: bytes, service: str, output: str):
    actions = Actions(None)  # type: ignore[arg-type]
    async with healthy(status) as port:
        found = await actions.health_service(port, service, "127.0.0.1", 5)
    await actions.close()
    assert (found.ok, found.output) == (not output, output)
