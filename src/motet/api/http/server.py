"""The API server: one TLS listener, and everything behind it put together."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from motet.api.aggregation.aggregator import Aggregator
from motet.api.custom.serving import CustomKinds
from motet.api.flowcontrol.control import FlowControl
from motet.api.flowcontrol.seats import Limits
from motet.api.http import health
from motet.api.http.audit.events import Auditor
from motet.api.http.authenticate import Authenticator, by_certificate
from motet.api.http.authorize import Authorizer
from motet.api.http.bearer import Tokens
from motet.api.http.calls import MAX_BODY
from motet.api.http.discovery import Discovery
from motet.api.http.dispatch import Dispatcher
from motet.api.http.enrolment import Enrolment
from motet.api.http.members import Members
from motet.api.http.metrics import Metrics
from motet.api.http.objects import Objects
from motet.api.http.openapi import OpenApi
from motet.api.http.proxy import Proxies
from motet.api.http.streams import Streams
from motet.api.http.usage import Usage
from motet.api.http.usedobjects import UsedObjects
from motet.api.http.watch import Watches
from motet.api.registry import Registry
from motet.base.clock import Clock, SystemClock
from motet.identity import tls
from motet.kinds.catalogue import Catalogue

log = logging.getLogger(__name__)

# exec carries the whole command in the URL.
_MAX_LINE = 256 * 1024
_MAX_FIELD = 64 * 1024
_BACKLOG = 1024


@dataclass(frozen=True, kw_only=True)
class ApiConfig:
    """Where to listen and with which PEM files. Port 0 takes a free one; `agent_tls` is shown to agents."""

    host: str = "0.0.0.0"
    port: int = 6443
    certificate: Path
    key: Path
    client_ca: Path
    # What /api tells clients to connect to; HOST:PORT.
    advertise: str = ""
    # Seconds that requests being answered get when the server stops.
    stop_seconds: float = 5.0
    checks: Mapping[str, health.Check] = field(default_factory=dict)


class ApiServer:
    """Start it, stop it. All state is the registry's."""

    def __init__(
        self,
        config: ApiConfig,
        registry: Registry,
        catalogue: Catalogue,
        authorizer: Authorizer,
        *,
        agent_tls: ssl.SSLContext | None = None,
        authenticators: Sequence[Authenticator] = (by_certificate,),
        tokens: Tokens | None = None,
        members: Members | None = None,
        enrolment: Enrolment | None = None,
        custom: CustomKinds | None = None,
        aggregator: Aggregator | None = None,
        used: UsedObjects | None = None,
        limits: Limits = Limits(),
        audit: Auditor | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._config = config
        self._context: ssl.SSLContext | None = None
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._watches = Watches(registry, clock)
        self._used = used
        self._streams = Streams(registry, agent_tls)
        self.usage = Usage(registry, agent_tls, clock)
        self.flows = FlowControl(registry.cache.table, clock, limits)
        self.metrics = Metrics(
            {
                "motet_api_audit_dropped": (
                    "Events that the audit log could not take.",
                    lambda: float(audit.dropped) if audit is not None else 0.0,
                ),
                "motet_api_watches": ("Watches being served.", lambda: float(self._watches.active)),
                "motet_store_revision": ("Revision of the last durable write.", lambda: float(registry.store.revision)),
            },
            self.flows.metrics,
        )
        chain = [members.authenticate] if members is not None else []
        self._dispatcher = Dispatcher(
            catalogue=catalogue,
            authenticators=(*chain, *authenticators, *([tokens.authenticate] if tokens is not None else [])),
            authorizer=authorizer,
            objects=Objects(registry, clock),
            watches=self._watches,
            streams=self._streams,
            proxies=Proxies(registry, agent_tls),
            usage=self.usage,
            discovery=Discovery(catalogue, config.advertise or f"{config.host}:{config.port}", aggregator),
            openapi=OpenApi(catalogue, aggregator),
            metrics=self.metrics,
            flows=self.flows,
            checks={"ping": lambda: "", **config.checks},
            members=members,
            enrolment=enrolment,
            tokens=tokens,
            audit=audit,
            used=used,
            custom=custom,
            aggregator=aggregator,
        )

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken, ssl.SSLError or OSError for unusable PEM files."""
        config = self._config
        self._context = tls.server_context(config.certificate, config.key, config.client_ca)
        loop = asyncio.get_running_loop()
        self._web = web.Server(
            self._dispatcher.handle,
            request_factory=_request,
            handler_cancellation=True,
            access_log=None,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_FIELD,
            tcp_keepalive=True,
        )
        self._listener = await loop.create_server(
            self._web,
            config.host,
            config.port,
            ssl=self._context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=30,
        )
        log.info("serving the Kubernetes API on https://%s:%d", config.host, self.port)

    def reload_certificate(self) -> None:
        """Take the renewed PEM files into use for connections to come. Raises ssl.SSLError, OSError."""
        if self._context is not None:
            self._context.load_cert_chain(str(self._config.certificate), str(self._config.key))

    async def stop(self) -> None:
        """Stop listening, give running requests a moment, end watches and streams."""
        if self._listener is not None:
            self._listener.close()
        self._watches.end_all()
        if self._used is not None:
            self._used.end_all()
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(self._config.stop_seconds)
        if self._listener is not None:
            await self._listener.wait_closed()


def _request(message, payload, protocol, writer, task):  # type: ignore[no-untyped-def]
    """aiohttp's own request, with our limit on bodies."""
    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=MAX_BODY
    )
