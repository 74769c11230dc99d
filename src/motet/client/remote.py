"""The kernel over HTTPS: what agents, the command line and users' own Python use."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from motet.api.users import User
from motet.base import release
from motet.base.clock import Clock, SystemClock
from motet.base.errors import ApiError, Unavailable, from_status
from motet.base.selectors import EVERYTHING, FieldSelector, Selector
from motet.client.interface import ALL_FIELDS, PatchType, Remembered
from motet.client.memory import Memory
from motet.client.mirror import Mirror, Page, WatchLine, document_of
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_PAGE = "500"
# The server sends a bookmark a minute, so a watch that is silent for longer has lost its peer.
_WATCH_SILENCE = 150.0
_REQUEST_SECONDS = 60.0
# How long connections with a certificate that was replaced may finish what they do.
_RETIRE_SECONDS = 5.0
# Tables that are kept are looked at this often, and written while they change once in so many looks.
_ROUND_SECONDS = 2.0
_MOST_ROUNDS = 15
_LONGEST_LINE = 8 * 1024 * 1024

_page_decoder = msgspec.json.Decoder(Page)
_line_decoder = msgspec.json.Decoder(WatchLine)


class RemoteClient:
    """`motet.client.interface.Client` over HTTPS. Use as an async context manager, or call `close`.

    Connection failures raise `Unavailable`; answers other than success raise the `ApiError` they carry. `acting_as` makes every
    request in somebody else's name, which the certificate must entitle to (Kubernetes "User impersonation").
    """

    def __init__(
        self,
        server: str,
        context: ssl.SSLContext,
        *,
        clock: Clock | None = None,
        user_agent: str = "motet",
        memory: Memory | None = None,
        acting_as: User | None = None,
    ) -> None:
        self._server = server.rstrip("/")
        self._context = context
        self._clock = clock or SystemClock()
        self._agent = user_agent
        self._acting_as = acting_as
        self._opened: aiohttp.ClientSession | None = None
        self._mirrors: list[asyncio.Task[None]] = []
        self._memory = memory
        self._kept: set[str] = set()
        self._retiring: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RemoteClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Document:
        return document_of(kind, await self.request("GET", kind.path(namespace, name)))

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> Sequence[Document]:
        found: list[Document] = []
        async for page in self.pages(kind, namespace, _selection(labels, fields)):
            found.extend(document_of(kind, bytes(item)) for item in page.items)
        return found

    async def create(self, kind: Kind, document: Mapping[str, Any], namespace: str = "") -> Document:
        namespace = namespace or _namespace_of(kind, document)
        return document_of(kind, await self.request("POST", kind.path(namespace), document))

    async def update(self, kind: Kind, document: Mapping[str, Any], *, subresource: str = "") -> Document:
        path = kind.path(_namespace_of(kind, document), document["metadata"]["name"], subresource)
        return document_of(kind, await self.request("PUT", path, document))

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        namespace: str = "",
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Document:
        path = kind.path(namespace, name, subresource)
        return document_of(kind, await self.request("PATCH", path, patch, content_type=patch_type.value))

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        propagation: str = "",
    ) -> None:
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation:
            options["propagationPolicy"] = propagation
        await self.request("DELETE", kind.path(namespace, name), options)

    async def post(
        self, kind: Kind, name: str, subresource: str, body: Mapping[str, Any], namespace: str = ""
    ) -> dict[str, Any]:
        answer = await self.request("POST", kind.path(namespace, name, subresource), body)
        return msgspec.json.decode(answer, type=dict[str, Any])

    async def bind(self, bindings: Iterable[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        async def one(namespace: str, name: str, uid: str, node: str) -> Exception | None:
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": name, "namespace": namespace, "uid": uid},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            }
            try:
                await self.request("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", binding)
            except ApiError as error:
                return error
            return None

        return await asyncio.gather(*(one(*binding) for binding in bindings))

    async def table(
        self, kind: Kind, namespace: str = "", *, labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> Table:
        mirror = Mirror(self, kind, namespace, _selection(labels, fields), self._clock)
        await self._begin(mirror, mirror.synced())
        return mirror.table

    async def remembered(self, kind: Kind) -> Remembered:
        mirror = Mirror(self, kind, "", {}, self._clock, self._memory)
        if self._memory is not None and kind.resource not in self._kept:
            self._kept.add(kind.resource)
            keeping = self._keep(mirror, self._memory)
            self._mirrors.append(asyncio.create_task(keeping, name=f"memory of {kind.plural}"))
        await self._begin(mirror, mirror.known())
        return Remembered(mirror.table, mirror.synced)

    async def _begin(self, mirror: Mirror, ready: Coroutine[None, None, None]) -> None:
        """Run a mirror until the client closes; return when it is `ready`. Raises what ends the mirror before that."""
        task = asyncio.create_task(mirror.run(), name=f"mirror of {mirror.table.resource}")
        self._mirrors.append(task)
        waiting = asyncio.create_task(ready)
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            task.result()

    async def _keep(self, mirror: Mirror, memory: Memory) -> None:
        """Write a table down when it has changed and is quiet again, or now and then while it is not."""
        await mirror.synced()
        changes, written = 1, 0
        table = mirror.table

        def changed(old: Document | None, new: Document | None) -> None:
            nonlocal changes
            changes += 1

        end = table.listen(changed)
        try:
            rounds = seen = 0
            while True:
                rounds = rounds + 1 if changes != written else 0
                if rounds and (changes == seen or rounds >= _MOST_ROUNDS):
                    written = changes
                    kept = [document.raw for document in table]
                    await asyncio.to_thread(memory.keep, table.resource, kept)
                seen = changes
                await self._clock.sleep(_ROUND_SECONDS)
        finally:
            end()

    def reconnect(self) -> None:
        """Make new connections from now on, for the TLS context shows another certificate than before.

        The old ones end after a moment: requests under way get their answers, watches go on where they were.
        """
        old, self._opened = self._opened, None
        if old is not None:
            task = asyncio.create_task(_retire(old, self._clock))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        tasks = (*self._mirrors, *self._retiring)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._mirrors.clear()
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """One request to any path of the API; returns the body of a success. Raises ApiError."""
        try:
            async with self._session().request(
                method,
                self._server + path,
                params=query,
                data=None if body is None else msgspec.json.encode(body),
                headers={**_JSON, "Content-Type": content_type},
                timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            ) as response:
                answer = await response.read()
                if response.status >= 400:
                    raise _error_of(response.status, answer)
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error

    async def stream(
        self, path: str, query: Mapping[str, str] | None = None, *, silence: float | None = None
    ) -> AsyncIterator[bytes]:
        """The body of a GET as it arrives, for logs and watches. `silence` seconds without a byte end it."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST_SECONDS, sock_read=silence)
        try:
            async with self._session().get(
                self._server + path, params=query, headers={"Accept": "application/json, */*"}, timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise _error_of(response.status, await response.read())
                async for chunk in response.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: AsyncIterable[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A request that may be long, with an answer that may be long: the body of a success as it comes. Raises ApiError."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST_SECONDS)
        try:
            response = await self._session().request(
                method,
                self._server + path,
                params=list(query),
                data=body,
                headers={"Accept": "*/*", "Content-Type": "application/json", **(headers or {})},
                timeout=timeout,
            )
            if response.status >= 400:
                async with response:
                    raise _error_of(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        try:
            yield self._pieces(response)
        finally:
            response.close()

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for piece in response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error

    async def websocket(
        self, path: str, query: Sequence[tuple[str, str]], protocols: Sequence[str]
    ) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket to a subresource that is a stream (exec, attach). Raises ApiError when it is refused."""
        try:
            return await self._session().ws_connect(
                self._server + path, params=query, protocols=protocols, max_msg_size=0, heartbeat=30
            )
        except aiohttp.WSServerHandshakeError as error:
            raise from_status({"code": error.status, "message": f"{path} was refused ({error.status})"}) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error

    async def pages(self, kind: Kind, namespace: str, query: dict[str, str]) -> AsyncIterator[Page]:
        """The pages of a list, all as of one revision."""
        query = {**query, "limit": _PAGE}
        while True:
            page = _page_decoder.decode(await self.request("GET", kind.path(namespace), query=query))
            yield page
            if not page.metadata.next:
                return
            query["continue"] = page.metadata.next

    async def lines(self, kind: Kind, namespace: str, query: dict[str, str]) -> AsyncIterator[WatchLine]:
        """The lines of a watch until the server ends it."""
        rest = b""
        async for chunk in self.stream(kind.path(namespace), query, silence=_WATCH_SILENCE):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield _line_decoder.decode(line)
            if len(rest) > _LONGEST_LINE:
                raise Unavailable(f"the server sent a watch line longer than {_LONGEST_LINE} bytes")

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._context, limit=0, keepalive_timeout=60),
                headers=[("User-Agent", f"{self._agent}/{release.VERSION}"), *_impersonation(self._acting_as)],
                auto_decompress=True,
            )
        return self._opened

    def _unreachable(self, error: Exception) -> ApiError:
        why = str(error) or type(error).__name__
        return Unavailable(f"the API server at {self._server} cannot be reached: {why}")


async def _retire(session: aiohttp.ClientSession, clock: Clock) -> None:
    try:
        await clock.sleep(_RETIRE_SECONDS)
    finally:
        await session.close()


def _impersonation(user: User | None) -> list[tuple[str, str]]:
    if user is None:
        return []
    return [("Impersonate-User", user.name), *(("Impersonate-Group", group) for group in user.groups)]


def _selection(labels: Selector, fields: FieldSelector) -> dict[str, str]:
    query: dict[str, str] = {}
    if labels:
        query["labelSelector"] = str(labels)
    if fields:
        query["fieldSelector"] = str(fields)
    return query


def _namespace_of(kind: Kind, document: Mapping[str, Any]) -> str:
    return str(document["metadata"].get("namespace") or "default") if kind.namespaced else ""


def _error_of(code: int, body: bytes) -> ApiError:
    try:
        return from_status(msgspec.json.decode(body, type=dict))
    except msgspec.DecodeError:
        text = body[:300].decode(errors="replace")
        return from_status({"code": code, "message": text or f"the server answered {code}"})
