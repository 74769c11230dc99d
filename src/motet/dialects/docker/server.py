"""Two doors to one voice: a Unix socket for root on this machine, and TLS for whoever shows a certificate of the cluster.

Who comes by the socket is an administrator; who comes by TLS is the subject of their certificate. Either way every look and every
change is made at the kernel's own API in their name, so that roles, admission and the audit log hold here, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from motet.api.http.authenticate import Credentials, by_certificate
from motet.api.users import AUTHENTICATED, MASTERS, NODES, User
from motet.base import release
from motet.base.errors import ApiError, Unauthorized
from motet.client.remote import RemoteClient
from motet.dialects.docker import versions
from motet.dialects.docker.call import Call, Engine, answer
from motet.dialects.docker.errors import DockerError, translated
from motet.dialects.docker.events.log import EventLog
from motet.dialects.docker.events.recorder import Recorder
from motet.dialects.docker.halfclose import HalfCloseTls
from motet.dialects.docker.router import Router
from motet.dialects.docker.routes import ROUTES
from motet.identity import tls

log = logging.getLogger("motet.docker")

# Root of this machine, by the socket.
_ROOT = User("system:motet:docker", (MASTERS, AUTHENTICATED))
_MOST_CLIENTS = 64
_LARGEST_BODY = 4 * 1024 * 1024
_STOP_SECONDS = 5.0
_MAX_LINE = 64 * 1024


class DockerServer:
    """Start it, stop it. It keeps nothing but connections to the kernel."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._router = Router(ROUTES)
        self._clients: OrderedDict[tuple[str, tuple[str, ...]], RemoteClient] = OrderedDict()
        self._events = EventLog()
        self._recorder = Recorder(self._events, lambda: engine.connect(_ROOT), engine.clock, engine.namespace)
        self._listeners: list[asyncio.Server] = []
        self._sockets: list[Path] = []
        self._certificate: tuple[Path, Path] | None = None
        self._context: ssl.SSLContext | None = None
        self._local = self._web(self._by_socket)
        self._remote = self._web(self._by_tls)

    def _web(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> web.Server:
        return web.Server(
            handler,
            request_factory=_request,
            handler_cancellation=True,
            access_log=None,
            max_line_size=_MAX_LINE,
            tcp_keepalive=True,
        )

    async def listen_locally(self, path: Path) -> None:
        """Serve root of this machine. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # A socket that a manager left behind when it was killed; one that lives is a bind error below.
        if path.is_socket() and not _answers(path):
            path.unlink()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listening.bind(str(path))
        except OSError:
            listening.close()
            raise
        finally:
            os.umask(mask)
        self._listeners.append(await asyncio.get_running_loop().create_unix_server(self._local, sock=listening))
        self._sockets.append(path)
        log.info("serving the Docker API on unix://%s", path)

    async def listen(self, host: str, port: int, certificate: tuple[Path, Path], client_ca: Path) -> int:
        """Serve whoever has a certificate; the port listened on. Raises OSError, ssl.SSLError."""
        context = tls.server_context(*certificate, client_ca)
        self._certificate, self._context = certificate, context
        server = await asyncio.get_running_loop().create_server(lambda: HalfCloseTls(context, self._remote), host, port)
        self._listeners.append(server)
        port = int(server.sockets[0].getsockname()[1])
        log.info("serving the Docker API on tcp://%s:%d, with TLS", host, port)
        return port

    def reload_certificate(self) -> None:
        """Take the renewed PEM files into use for connections to come. Raises ssl.SSLError, OSError."""
        if self._context is not None and self._certificate is not None:
            self._context.load_cert_chain(*map(str, self._certificate))

    async def stop(self) -> None:
        """Stop listening, give running requests a moment."""
        for listener in self._listeners:
            listener.close()
        for server in (self._local, self._remote):
            server.pre_shutdown()
            await server.shutdown(_STOP_SECONDS)
        await self._engine.sessions.close()
        for path in self._sockets:
            path.unlink(missing_ok=True)
        await self._recorder.stop()
        for client in self._clients.values():
            await client.close()

    async def _by_socket(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._handle(request, _ROOT)

    async def _by_tls(self, request: web.BaseRequest) -> web.StreamResponse:
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        try:
            user = by_certificate(Credentials(certificate))
        except Unauthorized as error:
            return _failure(DockerError(401, error.message))
        if user is None:
            return _failure(DockerError(401, "a client certificate of the cluster is needed (docker --tlsverify)"))
        if NODES in user.groups:
            return _failure(DockerError(403, "nodes have no business with the Docker API"))
        return await self._handle(request, user)

    async def _handle(self, request: web.BaseRequest, user: User) -> web.StreamResponse:
        try:
            response = await self._answer(request, user)
        except DockerError as error:
            response = _failure(error)
        except ApiError as error:
            response = _failure(translated(error))
        except (ConnectionError, asyncio.CancelledError):
            raise  # the client has left, or we are shutting down
        except Exception:
            number = secrets.token_hex(6)
            log.exception("failure %s: %s %s", number, request.method, request.rel_url.raw_path)
            response = _failure(DockerError(500, f"an error of the server's own; its log has it as {number}"))
        if not response.prepared:
            response.headers.update(HEADERS)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s %d %s", request.method, request.rel_url.raw_path, response.status, user.name)
        return response

    async def _answer(self, request: web.BaseRequest, user: User) -> web.StreamResponse:
        version, path = versions.split(request.rel_url.raw_path)
        handler, parameters = self._router.find(request.method, path)
        self._recorder.begin()
        client = self._client(user)
        call = Call(request, version, user, self._engine, client, parameters, self._events, self._recorder)
        return await handler(call)

    def _client(self, user: User) -> RemoteClient:
        """One connection pool for each user who comes often."""
        key = (user.name, user.groups)
        found = self._clients.get(key)
        if found is None:
            found = self._clients[key] = self._engine.connect(user)
            while len(self._clients) > _MOST_CLIENTS:
                _, oldest = self._clients.popitem(last=False)
                oldest.reconnect()
        self._clients.move_to_end(key)
        return found


HEADERS = {
    "Api-Version": str(versions.NEWEST),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Motet/{release.VERSION} (linux)",
}


def _failure(error: DockerError) -> web.Response:
    return answer({"message": error.message}, error.code)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def _request(message, payload, protocol, writer, task):  # type: ignore[no-untyped-def]
    """aiohttp's own request, with our limit on bodies."""
    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=_LARGEST_BODY
    )
