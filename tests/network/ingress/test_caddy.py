"""Routes as configuration, tried on a real Caddy."""

from __future__ import annotations

import asyncio
import http.server
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.network.ingress.pem import certificate

from motet.base.clock import SystemClock
from motet.network.ingress import caddy
from motet.network.ingress.caddy import Certificate
from motet.network.ingress.config import IngressConfig
from motet.network.ingress.engine import Caddy, EngineFailure, executable
from motet.network.ingress.routes import Route

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not executable(), reason="needs Caddy"),
]


class _Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        told = f"{self.path} {self.headers['Host']} {self.headers.get('X-Forwarded-For')}"
        self.wfile.write(told.encode())

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def backend() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[tuple[Caddy, IngressConfig]]:
    run = Path("/run") / f"motet-test-{os.getpid()}"
    config = IngressConfig(
        run=run / "ingress", log=tmp_path / "log", cgroup=f"/motet-test-{os.getpid()}", ports=free_ports()
    )
    engine = Caddy(config, SystemClock())
    yield engine, config
    await engine.end()
    run.rmdir()


async def ask(config: IngressConfig, host: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{config.ports[0]}{path}"
        async with session.get(url, headers={"Host": host}, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()


async def serve(
    engine: Caddy, config: IngressConfig, *routes: Route, certificates: tuple[Certificate, ...] = ()
) -> None:
    await engine.load(caddy.configuration(config.socket, routes, certificates, config.ports))


async def test_requests_go_where_their_host_and_path_say(proxy: tuple[Caddy, IngressConfig], backend: str) -> None:
    engine, config = proxy
    prefix, exact = Route("a.example.com", "/api", False, backend), Route("", "/only", True, backend)
    await serve(engine, config, prefix, exact, Route("gone.example.com", "/", False, ""))
    assert (await ask(config, "a.example.com", "/api/x?y=1"))[1] == "/api/x?y=1 a.example.com 127.0.0.1"
    assert (await ask(config, "a.example.com", "/apis"))[0] == 404
    assert (await ask(config, "a.example.com", "/API"))[0] == 404
    assert (await ask(config, "b.example.com", "/api"))[0] == 404
    assert (await ask(config, "any", "/only"))[0] == 200
    assert (await ask(config, "any", "/only/more"))[0] == 404
    assert (await ask(config, "gone.example.com", "/"))[0] == 503


async def test_it_runs_as_nobody_else_with_one_capability(proxy: tuple[Caddy, IngressConfig], backend: str) -> None:
    engine, config = proxy
    await serve(engine, config, Route("", "/", False, backend))
    status = (Path("/proc") / str(await engine.pid()) / "status").read_text()
    assert "CapEff:\t0000000000000400" in status
    assert "Uid:\t0\t" not in status
    assert "NoNewPrivs:\t1" in status


async def test_another_engine_finds_the_one_that_runs(proxy: tuple[Caddy, IngressConfig], backend: str) -> None:
    engine, config = proxy
    await serve(engine, config, Route("", "/", False, backend))
    before = await engine.pid()
    later = Caddy(config, SystemClock())
    await serve(later, config, Route("x", "/", False, backend))
    assert await later.pid() == before
    assert (await ask(config, "y", "/"))[0] == 404


async def test_what_caddy_does_not_take_is_told_in_its_words(proxy: tuple[Caddy, IngressConfig], backend: str) -> None:
    engine, config = proxy
    bad = Certificate("no certificate", "no key")
    with pytest.raises(EngineFailure, match="PEM"):
        await serve(engine, config, Route("", "/", False, backend), certificates=(bad,))


async def test_a_host_with_a_certificate_is_served_over_https(proxy: tuple[Caddy, IngressConfig], backend: str) -> None:
    engine, config = proxy
    made = certificate("secure.example.com")
    await serve(engine, config, Route("secure.example.com", "/", False, backend, secure=True), certificates=(made,))
    status, where = await ask(config, "secure.example.com", "/a?b=1")
    assert (status, where) == (308, f"https://secure.example.com:{config.ports[1]}/a?b=1")
    context = ssl.create_default_context(cadata=made.certificate)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", config.ports[1], ssl=context, server_hostname="secure.example.com"
    )
    writer.write(b"GET /a HTTP/1.1\r\nHost: secure.example.com\r\nConnection: close\r\n\r\n")
    assert b"200" in (await reader.readline())
    writer.close()
