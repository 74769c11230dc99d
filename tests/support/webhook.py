"""A webhook in the test's own process: real HTTPS, whatever answer the test wants."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from motet.identity.authority import Authority

Json = dict[str, Any]
Answer = Callable[[Json], Json | bytes | int] | Callable[[Json], Awaitable[Json]]


@dataclass
class Webhook:
    """A running one. `asked` has every question, in order."""

    port: int
    ca: str
    answer: Callable[[Json], Any]
    asked: list[Json] = field(default_factory=list)

    def config(self, path: str = "/") -> Json:
        """The `clientConfig` that leads here."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.ca}


@contextlib.asynccontextmanager
async def serving(folder: Path, answer: Callable[[Json], Any], *names: str) -> AsyncIterator[Webhook]:
    """Answers every POST with what `answer` makes of it: a document, bytes, or a status code; it may be a coroutine function."""
    folder.mkdir(exist_ok=True)
    authority = Authority.create(folder)
    certificate, key = authority.issue("webhook", (), sans=("127.0.0.1", *names)).write(folder, "webhook")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    running = Webhook(0, base64.b64encode(authority.pem).decode(), answer)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        question = await request.json()
        running.asked.append(question)
        found = running.answer(question)
        if hasattr(found, "__await__"):
            found = await found
        if isinstance(found, int):
            return web.Response(status=found, text="no")
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        return web.Response(body=data, content_type="application/json")

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    running.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield running
    finally:
        await runner.cleanup()
