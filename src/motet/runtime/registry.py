"""A client of image registries, for what containerd does not offer: asking what a tag is, checking a login, pushing.

Follows the OCI distribution-spec 1.1 and, for who may do it, Docker's "Token Authentication Specification" and HTTP Basic
(RFC 7617). Credentials go only to the registry they are for and to the token server it names.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import msgspec

from motet.runtime.imagestore import Descriptor
from motet.runtime.interface import ImageNotFound, RuntimeFailure
from motet.runtime.registryhosts import Endpoint, endpoints

Auth = Mapping[str, str]

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_SECONDS = 30.0
_LARGEST_MANIFEST = 4 * 1024 * 1024
_LARGEST_TOKEN = 1024 * 1024
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class Refused(RuntimeFailure):
    """The registry does not let us: credentials are missing or wrong."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a registry has under a tag or a digest."""

    descriptor: Descriptor
    body: bytes


Blob = Callable[[str], AsyncIterator[bytes]]


class Registry:
    """One registry host, as `certs.d` in `directory` says to reach it. `auth` may hold username and password, identity_token
    or registry_token.

    Raises Refused, ImageNotFound, and RuntimeFailure with reason RegistryUnavailable.
    """

    def __init__(self, directory: Path, host: str, auth: Auth | None = None) -> None:
        self._directory = directory
        self._host = host
        self._auth = auth or {}
        self._granted: dict[tuple[str, str], str] = {}

    async def check(self) -> None:
        """Whether the credentials are good."""
        endpoint = endpoints(self._directory, self._host, "pull")[-1]
        async with self._session(endpoint) as session, self._ask(session, endpoint, "GET", "/", scope="") as answer:
            await self._expect(answer, "log in", 200)

    async def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest or index that a tag or digest is."""
        problem: RuntimeFailure | None = None
        for endpoint in endpoints(self._directory, self._host, "resolve"):
            try:
                return await self._manifest(endpoint, repository, reference)
            except RuntimeFailure as failure:
                problem = failure
        assert problem is not None
        raise problem

    async def blob(self, repository: str, digest: str) -> bytes:
        """A small blob: a configuration."""
        endpoint = endpoints(self._directory, self._host, "pull")[0]
        async with (
            self._session(endpoint) as session,
            self._ask(
                session, endpoint, "GET", f"/{repository}/blobs/{digest}", scope=f"repository:{repository}:pull"
            ) as answer,
        ):
            await self._expect(answer, f"read {digest}", 200)
            body = await self._short(answer, f"the configuration {digest}")
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            raise RuntimeFailure(f"the registry {self._host} answered for {digest} with something else")
        return body

    async def push(
        self,
        repository: str,
        reference: str,
        manifest: Manifest,
        blobs: list[Descriptor],
        read: Blob,
        told: Callable[[Descriptor, str], None],
    ) -> None:
        """Put an image there: the blobs it lacks, then the manifest. `told` hears of each `exists`, `pushing`, `pushed`."""
        endpoint = endpoints(self._directory, self._host, "push")[0]
        scope = f"repository:{repository}:pull,push"
        async with self._session(endpoint) as session:
            for blob in {each.digest: each for each in blobs}.values():
                path = f"/{repository}/blobs/{blob.digest}"
                async with self._ask(session, endpoint, "HEAD", path, scope=scope) as answer:
                    if answer.status not in (200, 404):
                        await self._expect(answer, f"look for {blob.digest}", 200)
                    there = answer.status == 200
                if there:
                    told(blob, "exists")
                    continue
                told(blob, "pushing")
                await self._upload(session, endpoint, repository, blob, read, scope)
                told(blob, "pushed")
            path = f"/{repository}/manifests/{reference}"
            headers = {"Content-Type": manifest.descriptor.media_type}
            async with self._ask(
                session, endpoint, "PUT", path, scope=scope, body=lambda: manifest.body, headers=headers
            ) as answer:
                await self._expect(answer, f"push {repository}:{reference}", 201, 200)

    async def _upload(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        repository: str,
        blob: Descriptor,
        read: Blob,
        scope: str,
    ) -> None:
        async with self._ask(session, endpoint, "POST", f"/{repository}/blobs/uploads/", scope=scope) as answer:
            await self._expect(answer, f"begin to push to {repository}", 202)
            where = answer.headers.get("Location", "")
        if not where:
            raise RuntimeFailure(f"the registry {self._host} names no place to push to", "RegistryUnavailable")
        url = urljoin(f"{endpoint.url}/{repository}/blobs/uploads/", where)
        url += ("&" if "?" in url else "?") + f"digest={blob.digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        async with self._ask(
            session, endpoint, "PUT", url, scope=scope, body=lambda: read(blob.digest), headers=headers
        ) as answer:
            await self._expect(answer, f"push {blob.digest}", 201)

    async def _manifest(self, endpoint: Endpoint, repository: str, reference: str) -> Manifest:
        path, scope = f"/{repository}/manifests/{reference}", f"repository:{repository}:pull"
        headers = {"Accept": ", ".join(MANIFESTS)}
        async with (
            self._session(endpoint) as session,
            self._ask(session, endpoint, "GET", path, scope=scope, headers=headers) as answer,
        ):
            await self._expect(answer, f"find {self._host}/{repository}:{reference}", 200)
            body = await self._short(answer, f"the manifest of {self._host}/{repository}")
            media_type = answer.headers.get("Content-Type", "").partition(";")[0]
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if ":" in reference and reference != digest:
            raise RuntimeFailure(f"the registry {self._host} answered for {reference} with {digest}")
        return Manifest(Descriptor(media_type, digest, len(body)), body)

    async def _short(self, answer: aiohttp.ClientResponse, what: str) -> bytes:
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > _LARGEST_MANIFEST:
                raise RuntimeFailure(f"{what} is larger than any")
        return bytes(body)

    # --- asking -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _session(self, endpoint: Endpoint) -> AsyncIterator[aiohttp.ClientSession]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS, sock_read=_SECONDS)
        connector = aiohttp.TCPConnector(ssl=endpoint.tls if endpoint.tls is not None else True)
        # What proxies the machine has is for the registry, too, as it is for containerd.
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=True, headers={"User-Agent": "motet"}
        ) as session:
            try:
                yield session
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = str(error) or type(error).__name__
                raise RuntimeFailure(
                    f"the registry {self._host} cannot be reached: {why}", "RegistryUnavailable"
                ) from error

    @asynccontextmanager
    async def _ask(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        scope: str,
        body: Callable[[], Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request, and once more with what the registry asks us to show."""
        url = path if "://" in path else endpoint.url + path
        key = (endpoint.url, scope)
        for attempt in (1, 2):
            shown = (
                {"Authorization": self._granted[key]} if key in self._granted and url.startswith(endpoint.url) else {}
            )
            async with session.request(
                method, url, data=body() if body else None, headers={**(headers or {}), **shown}, allow_redirects=True
            ) as answer:
                if answer.status != 401 or attempt == 2 or not self._auth_wanted(answer):
                    yield answer
                    return
                challenge = answer.headers["WWW-Authenticate"]
            self._granted[key] = await self._grant(session, challenge, scope)

    def _auth_wanted(self, answer: aiohttp.ClientResponse) -> bool:
        scheme = answer.headers.get("WWW-Authenticate", "").partition(" ")[0].lower()
        return scheme == "bearer" or (scheme == "basic" and bool(self._auth.get("username")))

    async def _grant(self, session: aiohttp.ClientSession, challenge: str, scope: str) -> str:
        """The Authorization to show for a challenge."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return self._basic()
        if token := self._auth.get("registry_token"):
            return f"Bearer {token}"
        asked = dict(_PARAMETER.findall(rest))
        realm = asked.get("realm", "")
        if not realm.startswith(("https://", "http://")):
            raise RuntimeFailure(f"the registry {self._host} names no token server", "RegistryUnavailable")
        query = {"service": asked["service"]} if asked.get("service") else {}
        if wanted := scope or asked.get("scope", ""):
            query["scope"] = wanted
        if token := self._auth.get("identity_token"):
            form = {**query, "grant_type": "refresh_token", "refresh_token": token, "client_id": "motet"}
            request = session.post(realm, data=form)
        else:
            headers = {"Authorization": self._basic()} if self._auth.get("username") else {}
            request = session.get(realm, params=query, headers=headers)
        async with request as answer:
            await self._expect(answer, "get a token", 200)
            try:
                found = msgspec.json.decode(await self._token_body(answer), type=dict[str, Any])
            except msgspec.MsgspecError:
                found = {}
        granted = found.get("token") or found.get("access_token")
        if not isinstance(granted, str):
            raise RuntimeFailure(f"the token server of {self._host} gave no token", "RegistryUnavailable")
        return f"Bearer {granted}"

    async def _token_body(self, answer: aiohttp.ClientResponse) -> bytes:
        """Raises RuntimeFailure for more than any token is long: its server is whoever the registry names."""
        body = b""
        async for piece in answer.content.iter_chunked(_LARGEST_TOKEN):
            body += piece
            if len(body) > _LARGEST_TOKEN:
                why = f"the token server of {self._host} answered with more than {_LARGEST_TOKEN} bytes"
                raise RuntimeFailure(why, "RegistryUnavailable")
        return body

    def _basic(self) -> str:
        pair = f"{self._auth.get('username', '')}:{self._auth.get('password', '')}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    async def _expect(self, answer: aiohttp.ClientResponse, doing: str, *codes: int) -> None:
        """Raises what an unexpected answer means."""
        if answer.status in codes:
            return
        why = _words(await answer.content.read(8192)) or answer.reason or str(answer.status)
        if answer.status in (401, 403):
            raise Refused(f"cannot {doing}: the registry {self._host} refused: {why}", "Unauthorized")
        if answer.status == 404:
            raise ImageNotFound(f"cannot {doing}: the registry {self._host} does not have it: {why}", "NotFound")
        raise RuntimeFailure(
            f"cannot {doing}: the registry {self._host} answered {answer.status}: {why}", "RegistryUnavailable"
        )


def split(name: str) -> tuple[str, str, str]:
    """(host, repository, tag or digest) of a full name."""
    host, _, rest = name.partition("/")
    repository, at, digest = rest.partition("@")
    if at:
        return host, repository.partition(":")[0], digest
    repository, _, tag = rest.partition(":")
    return host, repository, tag


def _words(body: bytes) -> str:
    """What the errors of an answer say (distribution-spec, "Error Codes")."""
    try:
        errors = msgspec.json.decode(body, type=dict[str, Any]).get("errors") or ()
        return "; ".join(str(each.get("message") or each.get("code") or "") for each in errors)
    except (msgspec.MsgspecError, AttributeError):
        return body[:200].decode(errors="replace").strip()
