"""A server of an API of its own in the test's process: real TLS, a front proxy's certificate demanded, voices in a dict."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from motet.identity.authority import Authority

Json = dict[str, Any]
GROUP, VERSION, HOST = "choir.example.com", "v1", "voices.music.svc"
BASE = f"/apis/{GROUP}/{VERSION}"
RESOURCES: list[Json] = [
    {
        "name": "voices",
        "singularName": "voice",
        "namespaced": True,
        "kind": "Voice",
        "verbs": ["create", "delete", "get", "list", "watch"],
        "shortNames": ["vo"],
    },
    {"name": "voices/sing", "singularName": "", "namespaced": True, "kind": "Voice", "verbs": ["get"]},
]
_VOICE = f"com.example.choir.{VERSION}.Voice"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
SWAGGER: Json = {
    "swagger": "2.0",
    "info": {"title": "choir", "version": "v1"},
    "paths": {
        "/version/": {"get": {"responses": {"200": {"description": "OK"}}}},
        BASE + "/namespaces/{namespace}/voices": {
            "get": {
                "operationId": "listVoices",
                "responses": {"200": {"description": "OK", "schema": {"$ref": f"#/definitions/{_VOICE}"}}},
            },
            "parameters": [{"$ref": "#/parameters/namespace"}],
        },
    },
    "definitions": {
        _VOICE: {
            "type": "object",
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"$ref": f"#/definitions/{_META}"},
                "range": {"type": "string"},
            },
            "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": "Voice"}],
        },
        _META: {
            "type": "object",
            "description": "what this server takes for metadata",
            "properties": {"name": {"type": "string"}},
        },
    },
    "parameters": {"namespace": {"name": "namespace", "in": "path", "required": True, "type": "string"}},
}


@dataclass
class Extension:
    """A running one. `asked` has (method, path and query, headers) of every request, in order."""

    port: int = 0
    ca: str = ""
    asked: list[tuple[str, str, list[tuple[str, str]]]] = field(default_factory=list)
    voices: dict[str, Json] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    # What is answered to everything, if anything: (status, headers).
    always: tuple[int, dict[str, str]] | None = None

    def headers(self, path: str) -> list[tuple[str, str]]:
        """Of the last request for a path."""
        return next(headers for _, asked, headers in reversed(self.asked) if asked.partition("?")[0] == path)

    def api_service(self, **spec: Any) -> Json:
        return {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{VERSION}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "service": {"namespace": "music", "name": "voices", "port": self.port},
                "caBundle": self.ca,
                "groupPriorityMinimum": 2000,
                "versionPriority": 10,
                **spec,
            },
        }


@contextlib.asynccontextmanager
async def serving(folder: Path, front_proxy: bytes, name: str = HOST) -> AsyncIterator[Extension]:
    """`front_proxy` is the PEM of the root whose certificates are believed; nobody else gets through the handshake."""
    folder.mkdir(exist_ok=True)
    authority = Authority.create(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=front_proxy.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*authority.issue("extension", (), sans=(name,)).write(folder, "extension"))
    running = Extension(ca=base64.b64encode(authority.pem).decode())
    runner = web.ServerRunner(
        web.Server(lambda request: _answer(running, request), access_log=None), shutdown_timeout=0.1
    )
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    running.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield running
    finally:
        await runner.cleanup()


async def _answer(running: Extension, request: web.BaseRequest) -> web.StreamResponse:
    running.asked.append((request.method, request.raw_path, list(request.headers.items())))
    if running.always is not None:
        return web.Response(status=running.always[0], headers=running.always[1])
    path = request.path
    collection = f"{BASE}/namespaces/{_namespace(path)}/voices"
    if path == BASE:
        return _json({"kind": "APIResourceList", "groupVersion": f"{GROUP}/{VERSION}", "resources": RESOURCES})
    if path == "/openapi/v2":
        return _json(SWAGGER)
    if path == "/openapi/v3":
        return _json({"paths": {BASE[1:]: {"serverRelativeURL": f"/openapi/v3{BASE}?hash=1"}}})
    if path == f"/openapi/v3{BASE}":
        return _json({"openapi": "3.0.0", "info": {"title": "choir", "version": "v1"}, "paths": {}})
    if path == collection and "watch" in request.query:
        return await _watch(running, request)
    if path == collection and request.method == "POST":
        voice = await request.json()
        running.voices[voice["metadata"]["name"]] = voice
        running.news.set()
        return _json(voice, 201)
    if path == collection:
        return _json({"kind": "VoiceList", "apiVersion": f"{GROUP}/{VERSION}", "items": list(running.voices.values())})
    if path.endswith("/sing"):
        return await _sing(request)
    found = running.voices.get(path.removeprefix(f"{collection}/"))
    if found is not None and request.method == "DELETE":
        del running.voices[found["metadata"]["name"]]
    if found is None:
        return _json({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "no such voice"}, 404)
    return _json(found)


def _namespace(path: str) -> str:
    """All voices sing everywhere."""
    parts = path.split("/")
    return parts[5] if len(parts) > 5 else "default"


async def _watch(running: Extension, request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await running.news.wait()
        running.news.clear()
        for voice in running.voices.values():
            await response.write(json.dumps({"type": "ADDED", "object": voice}).encode() + b"\n")


async def _sing(request: web.BaseRequest) -> web.StreamResponse:
    """Every word comes back."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(f"la {message.data}")
    return socket


def _json(document: Json, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), status=status, content_type="application/json")
