"""Logs and hijacked streams, through the server to an agent that speaks raw HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
from tests.api.http.conftest import Api, Pki

from motet.api.http.streams import container_of
from motet.base.errors import BadRequest
from motet.identity import tls
from motet.store.document import Document, encode

POD = "/api/v1/namespaces/default/pods/web"


class FakeAgent:
    """Answers logs, echoes what comes over an upgraded connection, and remembers the heads it was sent."""

    def __init__(self) -> None:
        self.heads: list[list[str]] = []
        self.users: list[str] = []
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            self.heads.append(head)
            subject = writer.get_extra_info("peercert")["subject"]
            self.users.append(dict(part[0] for part in subject)["commonName"])
            path = head[0].split(" ")[1]
            if "refuse" in path:
                writer.write(
                    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n"
                    + b'{"code": 404}'
                )
            elif path.startswith("/containerLogs/"):
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"
                )
                await writer.drain()
                if "stay" in path:
                    await reader.read()
                writer.write(b"4\r\ntwo\n\r\n0\r\n\r\n")
            else:
                writer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\nhello "
                )
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def agent(api: Api) -> AsyncIterator[FakeAgent]:
    fake = FakeAgent()
    context = tls.server_context(
        api.pki.directory / "node.crt", api.pki.directory / "node.key", api.pki.directory / "ca.crt"
    )
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=context)
    await node(api, listener.sockets[0].getsockname()[1])
    await pod(api, "web", "n1")
    yield fake
    listener.close()
    await listener.wait_closed()


async def node(api: Api, port: int) -> None:
    await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    headers = {"Content-Type": "application/merge-patch+json"}
    code, _ = await api.ask("PATCH", "/api/v1/nodes/n1/status", {"status": status}, headers=headers)
    assert code == 200


async def pod(api: Api, name: str, node_name: str = "") -> None:
    spec: dict[str, object] = {"containers": [{"name": "c", "image": "i"}]}
    if node_name:
        spec["nodeName"] = node_name
    code, made = await api.ask("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": name}, "spec": spec})
    assert code == 201, made


async def test_a_log_is_passed_on_with_its_query(api: Api, agent: FakeAgent) -> None:
    code, text = await api.ask("GET", f"{POD}/log?tailLines=2&follow=true")
    assert (code, text) == (200, "one\ntwo\n")
    assert agent.heads[0][0] == "GET /containerLogs/default/web/c?tailLines=2&follow=true HTTP/1.1"
    assert agent.users == ["admin"]


async def test_a_refusal_of_the_agent_is_passed_on(api: Api, agent: FakeAgent) -> None:
    assert await api.ask("GET", f"{POD}/log?previous=refuse") == (404, {"code": 404})
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    assert await api.ask("POST", f"{POD}/exec?command=refuse", headers=headers) == (404, {"code": 404})


async def open_raw(
    pki: Pki, port: int, method: str, path: str, upgrade: str = "SPDY/3.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=pki.client("admin"))
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\nAuthorization: Bearer s\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    writer.write(head.encode())
    answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
    return reader, writer, answer


@pytest.mark.parametrize(
    ("method", "what", "path"),
    [
        ("POST", "exec", "/exec/default/web/c"),
        ("GET", "attach", "/attach/default/web/c"),
        ("POST", "portforward", "/portForward/default/web"),
    ],
)
async def test_an_upgraded_connection_is_a_pipe(api: Api, agent: FakeAgent, method: str, what: str, path: str) -> None:
    reader, writer, answer = await open_raw(api.pki, api.server.port, method, f"{POD}/{what}?command=ls&stdin=true")
    assert answer.startswith("HTTP/1.1 101 ")
    payload = bytes(range(256)) * 8000
    writer.write(payload)
    assert await asyncio.wait_for(reader.readexactly(6), 5) == b"hello "
    assert await asyncio.wait_for(reader.readexactly(len(payload)), 10) == payload
    assert agent.heads[0][0] == f"{method} {path}?command=ls&stdin=true HTTP/1.1"
    assert not any(line.lower().startswith("authorization") for line in agent.heads[0])
    assert "X-Stream-Protocol-Version: v4.channel.k8s.io" in agent.heads[0]
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(5):
        while agent.open or api.server._web.connections:  # type: ignore[union-attr]
            await asyncio.sleep(0.001)


async def test_the_pipe_ends_when_the_agent_does(api: Api, agent: FakeAgent) -> None:
    reader, writer, _ = await open_raw(api.pki, api.server.port, "POST", f"{POD}/exec?command=ls")
    await reader.readexactly(6)
    writer.write_eof() if writer.can_write_eof() else writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(5):
        while agent.open:
            await asyncio.sleep(0.001)


async def test_a_stream_needs_an_upgrade(api: Api, agent: FakeAgent) -> None:
    code, status = await api.ask("POST", f"{POD}/exec?command=ls")
    assert (code, status["message"]) == (400, "Upgrade request required")


async def test_a_pod_without_a_node_has_no_log(api: Api) -> None:
    await pod(api, "waiting")
    code, status = await api.ask("GET", "/api/v1/namespaces/default/pods/waiting/log")
    assert code == 400
    assert status["message"] == 'container "c" in pod "waiting" does not have a host assigned'


async def test_an_agent_that_is_away_is_named(api: Api) -> None:
    await pod(api, "web", "n1")
    code, status = await api.ask("GET", f"{POD}/log")
    assert (code, status["message"]) == (503, 'node "n1" of pod "web" is not part of the cluster')
    await node(api, 1)
    for method, path in (("GET", f"{POD}/log"), ("POST", f"{POD}/exec?command=ls")):
        headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
        code, status = await api.ask(method, path, headers=headers)
        assert code == 503
        assert 'the agent of node "n1" (127.0.0.1:1) cannot be reached' in status["message"]


@pytest.mark.parametrize("what", ["log", "exec?command=ls"])
async def test_another_node_cannot_answer_in_this_ones_place(api: Api, what: str) -> None:
    api.pki.issue("other", "system:node:n2", "system:nodes")
    pki = api.pki.directory
    context = tls.server_context(pki / "other.crt", pki / "other.key", pki / "ca.crt")
    fake = FakeAgent()
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=context)
    await pod(api, "web", "n1")
    await node(api, listener.sockets[0].getsockname()[1])
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    code, status = await api.ask("GET", f"{POD}/{what}", headers=headers)
    assert code == 503
    assert 'its certificate is that of "system:node:n2"' in status["message"]
    assert fake.heads == []
    listener.close()
    await listener.wait_closed()


async def test_an_agent_with_a_foreign_certificate_is_not_talked_to(api: Api, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from motet.identity.authority import Authority

    other = Authority.create(tmp_path / "other")
    certificate, key = other.issue("n1", sans=("127.0.0.1",)).write(tmp_path, "fake")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    listener = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
    await pod(api, "web", "n1")
    await node(api, listener.sockets[0].getsockname()[1])
    code, status = await api.ask("GET", f"{POD}/log")
    assert code == 503
    assert "certificate" in status["message"]
    listener.close()
    await listener.wait_closed()


def document(*names: str, annotations: dict[str, str] | None = None) -> Document:
    spec = {"containers": [{"name": name} for name in names], "initContainers": [{"name": "init"}]}
    value = {"metadata": {"name": "p", "annotations": annotations}, "spec": spec}
    return Document.stored("core/pods/default/p", encode(value), 1)


def test_the_container_is_the_only_one_or_the_annotated_one() -> None:
    assert container_of(document("a"), "") == "a"
    assert container_of(document("a", "b", annotations={"kubectl.kubernetes.io/default-container": "b"}), "") == "b"
    assert container_of(document("a", "b"), "init") == "init"


def test_a_container_must_be_chosen_among_several() -> None:
    with pytest.raises(BadRequest, match=r"a container name must be specified for pod p, choose one of: \[a b\]"):
        container_of(document("a", "b"), "")
    with pytest.raises(BadRequest, match="container x is not valid for pod p"):
        container_of(document("a"), "x")


async def test_an_open_pipe_does_not_hold_up_the_end_of_the_server(api: Api, agent: FakeAgent) -> None:
    reader, writer, _ = await open_raw(api.pki, api.server.port, "POST", f"{POD}/exec?command=ls")
    await reader.readexactly(6)
    async with asyncio.timeout(5):
        await api.server.stop()
        assert await reader.read() == b""
        while agent.open:
            await asyncio.sleep(0.001)
    writer.close()


async def test_a_log_that_is_followed_ends_with_its_reader(api: Api, agent: FakeAgent) -> None:
    async with api.session() as session, session.get(f"{POD}/log?follow=true&stay=1") as answer:
        assert await answer.content.readline() == b"one\n"
    async with asyncio.timeout(5):
        while agent.open:
            await asyncio.sleep(0.001)


async def test_a_log_can_be_carried_by_a_websocket(api: Api, agent: FakeAgent) -> None:
    async with api.session() as session, session.ws_connect(f"{POD}/log", protocols=("binary.k8s.io",)) as socket:
        assert [message.data async for message in socket] == [b"one\n", b"two\n"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=x", "sinceSeconds"),
        ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", "at most one of"),
        ("stream=Both", 'stream: Unsupported value: "Both"'),
        ("stream=Stdout&tailLines=3", "mutually exclusive"),
    ],
)
async def test_options_of_a_log_that_make_no_sense_are_refused(
    api: Api, agent: FakeAgent, query: str, words: str
) -> None:
    code, status = await api.ask("GET", f"{POD}/log?{query}")
    assert code == 422
    assert words in status["message"]
