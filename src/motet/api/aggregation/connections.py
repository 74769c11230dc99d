"""Connections to the servers behind APIServices: TLS both ways, with the one certificate they take our word on callers for."""

from __future__ import annotations

import base64
import random
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from motet.api.aggregation.services import Remote
from motet.api.http.agents import CONNECT_SECONDS
from motet.api.webhooks.resolver import ServiceResolver
from motet.api.webhooks.services import Lookup, NoBackend, targets
from motet.base.errors import Unavailable
from motet.identity import tls

_MOST_CONTEXTS = 256
_LONGEST_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the addresses of a server, for connections that are taken over."""

    remote: Remote
    host: str
    port: int

    def unreachable(self, error: BaseException) -> Unavailable:
        return self.remote.unavailable(f"{self.host}:{self.port}: {words(error)}")

    def check(self, certificate: dict[str, Any] | None) -> None:
        """The handshake has seen to it."""


class Connections:
    """One per manager. `certificate` are the PEM files of the front proxy; nobody else may have its key."""

    def __init__(self, lookup: Lookup, certificate: tuple[Path, Path]) -> None:
        self._lookup = lookup
        self._certificate = certificate
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._opened: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Connections are kept and shared; names of Services are looked up each time one is made."""
        if self._opened is None:
            connector = aiohttp.TCPConnector(
                limit=0, resolver=ServiceResolver(self._lookup), use_dns_cache=False, keepalive_timeout=15
            )
            self._opened = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                max_line_size=_LONGEST_LINE,
                max_field_size=_LONGEST_LINE,
            )
        return self._opened

    def context(self, remote: Remote) -> ssl.SSLContext:
        """Raises Unreachable for a bundle that is none."""
        key = (remote.ca, remote.insecure)
        found = self._contexts.get(key)
        if found is None:
            if len(self._contexts) >= _MOST_CONTEXTS:
                self._contexts.clear()
            try:
                found = tls.trusting(base64.b64decode(remote.ca).decode() if remote.ca else "")
            except (ValueError, ssl.SSLError) as error:
                raise remote.unavailable(f"its caBundle cannot be read: {error}") from error
            if remote.insecure:
                found.check_hostname = False
                found.verify_mode = ssl.CERT_NONE
            found.load_cert_chain(*self._certificate)
            self._contexts[key] = found
        return found

    def endpoint(self, remote: Remote) -> Endpoint:
        """One of its addresses at random. Raises Unreachable."""
        try:
            found = random.choice(targets(self._lookup, remote.namespace, remote.service, remote.port))  # noqa: S311
        except NoBackend as error:
            raise remote.unavailable(str(error)) from error
        return Endpoint(remote, found.host, found.port)

    def reload(self) -> None:
        """Show the renewed certificate from now on. Raises ssl.SSLError, OSError."""
        for context in self._contexts.values():
            context.load_cert_chain(*self._certificate)

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None


def words(error: BaseException) -> str:
    """What went wrong, in few words."""
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(inner, TimeoutError):
        return "it did not answer in time"
    return str(getattr(inner, "strerror", None) or inner) or type(error).__name__
