"""Asking a webhook: one POST of JSON over TLS, to a Service of the cluster or to a URL.

Connections are kept and shared. A Service is found by its name in the cache each time a connection is made, and its
certificate has to be good for `NAME.NAMESPACE.svc`; whom to trust is what the configuration says (`caBundle`), or the
machine's own roots.
"""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from functools import lru_cache

import aiohttp

from motet.api.webhooks.resolver import SERVICE_SUFFIX, ServiceResolver
from motet.api.webhooks.services import Lookup, NoBackend
from motet.base.errors import MotetError
from motet.identity import tls
from motet.kinds.clientconfig import DEFAULT_PORT
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, text

# Webhooks answer with objects, which have a limit of their own; this is for lists of them.
_LARGEST_ANSWER = 64 * 1024 * 1024


class WebhookFailure(MotetError):
    """A webhook that could not be asked, or gave no usable answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """A `clientConfig`: where a webhook listens and whom it has to be certified by (base64 of PEM, empty for anybody's)."""

    url: str
    ca: str = ""

    @classmethod
    def of(cls, config: Json) -> Address:
        """From the document's `clientConfig`, which has been validated."""
        ca = text(config, "caBundle")
        if url := text(config, "url"):
            return cls(url, ca)
        service = mapping(config, "service")
        port = int(service.get("port") or DEFAULT_PORT)
        path = text(service, "path").removeprefix("/")
        host = f"{text(service, 'name')}.{text(service, 'namespace')}{SERVICE_SUFFIX}"
        return cls(f"https://{host}:{port}/{path}", ca)


class WebhookClient:
    """One per manager. Nothing is connected before the first question; `close` ends all connections."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._opened: aiohttp.ClientSession | None = None

    async def post(self, address: Address, body: bytes, seconds: float) -> bytes:
        """The body of a good answer. Raises WebhookFailure, in upstream's form: what was asked, and what went wrong."""
        url = f"{address.url}?timeout={seconds:g}s"
        try:
            context = _context(address.ca)
            async with self._session().post(
                url,
                data=body,
                headers={"Content-Type": "application/json", "Accept": "application/json, */*"},
                ssl=context,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as response:
                answer = await response.content.read(_LARGEST_ANSWER)
                if not 200 <= response.status < 300:
                    raise WebhookFailure(_refusal(response.status, answer))
                return answer
        except TimeoutError as error:
            raise WebhookFailure(f'Post "{url}": context deadline exceeded') from error
        except (aiohttp.ClientError, OSError, ValueError, NoBackend) as error:
            raise WebhookFailure(f'Post "{url}": {_words(error)}') from error

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            connector = aiohttp.TCPConnector(
                limit=0, resolver=ServiceResolver(self._lookup), use_dns_cache=False, keepalive_timeout=30
            )
            self._opened = aiohttp.ClientSession(
                connector=connector, headers={"User-Agent": "kube-apiserver-admission"}
            )
        return self._opened


@lru_cache(maxsize=256)
def _context(ca: str) -> ssl.SSLContext:
    """Raises ValueError for a bundle that is none."""
    try:
        return tls.trusting(base64.b64decode(ca).decode() if ca else "")
    except (ValueError, ssl.SSLError) as error:
        raise ValueError(f"caBundle: Invalid value: {error}") from error


def _refusal(status: int, body: bytes) -> str:
    said = body[:512].decode(errors="replace").strip()
    return f"the server answered {status}" + (f": {said}" if said else "")


def _words(error: Exception) -> str:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return str(getattr(inner, "strerror", None) or inner) or type(error).__name__
