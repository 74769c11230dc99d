"""Proxied requests, through the server and an agent that connects to a pod which is in the same process."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.api.http.conftest import Api
from tests.api.http.test_streams import node, open_raw, pod

from motet.identity import tls

POD = "/api/v1/namespaces/default/pods/web:80/proxy"
Web = Callable[[str, bytes], bytes]


class FakeNode:
    """An agent whose every pod answers with `web(head, body)`, and which refuses connections to port 1."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.requests: list[tuple[str, bytes]] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            self.asked.append(path)
            if path.startswith("/connect/default/web/1?"):
                refusal = b'{"message": "dial tcp 10.42.0.9:1: connection refused"}'
                writer.write(
                    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n%b" % (len(refusal), refusal)
                )
            elif path.startswith("/connect/"):
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
                await self._web(reader, writer)
            else:
                writer.write(self.answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _web(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if "Upgrade: echo" in head:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            while data := await reader.read(65536):
                writer.write(data)
            return
        body = b""
        if "Transfer-Encoding: chunked" in head:
            body = await reader.readuntil(b"0\r\n\r\n")
        elif "Content-Length: " in head:
            body = await reader.readexactly(int(head.split("Content-Length: ")[1].split("\r\n")[0]))
        self.requests.append((head, body))
        writer.write(self.answer)


@pytest.fixture
async def there(api: Api) -> AsyncIterator[FakeNode]:
    fake = FakeNode()
    pki = api.pki.directory
    context = tls.server_context(pki / "node.crt", pki / "node.key", pki / "ca.crt")
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=context)
    await node(api, listener.sockets[0].getsockname()[1])
    await pod(api, "web", "n1")
    yield fake
    listener.close()
    await listener.wait_closed()


async def test_a_request_reaches_the_port_of_the_pod_with_path_query_and_body(api: Api, there: FakeNode) -> None:
    code, text = await api.ask("POST", f"{POD}/a%20b/?x=1", b"body", headers={"Content-Type": "text/plain"})
    assert (code, text) == (200, "ok")
    assert there.asked == ["/connect/default/web/80?scheme=http"]
    head, body = there.requests[0]
    assert head.startswith("POST /a%20b/?x=1 HTTP/1.1\r\n")
    assert body == b"body"


async def test_a_path_without_a_slash_is_sent_to_the_directory(api: Api, there: FakeNode) -> None:
    async with api.session() as session, session.get(f"{POD}?x=1", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"{POD}/?x=1")


async def test_redirects_and_links_get_the_prefix(api: Api, there: FakeNode) -> None:
    page = gzip.compress(b'<a href="/next">')
    head = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Type: text/html; charset=utf-8\r\nContent-Encoding: gzip\r\n"
    there.answer = head + b"Content-Length: %d\r\n\r\n%b" % (len(page), page)
    async with api.session() as session, session.get(f"{POD}/here", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, f"{POD}/there")
        assert await answer.text() == f'<a href="{POD}/next">'


async def test_a_body_of_unknown_length_is_passed_on_in_chunks(api: Api, there: FakeNode) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece

    async with api.session() as session, session.put(f"{POD}/", data=pieces()) as answer:
        assert answer.status == 200
    sent = there.requests[0][1].split(b"\r\n")
    assert (b"".join(sent[1:-3:2]), sent[-3:]) == (b"onetwo", [b"0", b"", b""])


async def test_a_port_nobody_listens_on_is_told(api: Api, there: FakeNode) -> None:
    code, status = await api.ask("GET", "/api/v1/namespaces/default/pods/web:1/proxy/")
    assert code == 503
    assert status["message"] == "error trying to reach service: dial tcp 10.42.0.9:1: connection refused"


async def test_other_protocols_pass(api: Api, there: FakeNode) -> None:
    reader, writer, answer = await open_raw(api.pki, api.server.port, "GET", f"{POD}/socket", upgrade="echo")
    assert answer.startswith("HTTP/1.1 101 ")
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"
    writer.close()
    await writer.wait_closed()


async def test_a_node_is_its_agent(api: Api, there: FakeNode) -> None:
    code, text = await api.ask("GET", "/api/v1/nodes/n1/proxy/stats/summary?x=1")
    assert (code, text) == (200, "ok")
    assert there.asked == ["/stats/summary?x=1"]


Make = Callable[..., Awaitable[None]]


@pytest.fixture
def serve(api: Api) -> Make:
    async def make(*pods: str) -> None:
        spec = {"ports": [{"name": "web", "port": 8000}]}
        await api.ask("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "s"}, "spec": spec})
        endpoints = [{"addresses": ["10.42.0.9"], "targetRef": {"kind": "Pod", "name": name}} for name in pods]
        slice = {
            "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4", "ports": [{"name": "web", "port": 80}], "endpoints": endpoints,
        }  # fmt: skip
        code, made = await api.ask("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice)
        assert code == 201, made

    return make


async def test_a_service_is_one_of_its_pods(api: Api, there: FakeNode, serve: Make) -> None:
    await serve("web")
    for name in ("s:web", "s:8000", "http:s:web"):
        assert (await api.ask("GET", f"/api/v1/namespaces/default/services/{name}/proxy/x"))[0] == 200
    assert there.asked == ["/connect/default/web/80?scheme=http"] * 3


async def test_a_service_without_endpoints_is_unavailable(api: Api, there: FakeNode, serve: Make) -> None:
    await serve()
    code, status = await api.ask("GET", "/api/v1/namespaces/default/services/s:web/proxy/")
    assert (code, status["message"]) == (503, 'no endpoints available for service "s"')


async def test_strangers_and_nodes_may_not_proxy(api: Api, there: FakeNode) -> None:
    for who in ("stranger", "node"):
        assert (await api.ask("GET", f"{POD}/", who=who))[0] == 403
    assert there.asked == []
