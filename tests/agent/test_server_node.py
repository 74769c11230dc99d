"""Logs, exec, attach and port-forward of real containers through the agent's server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from motet.agent.spdy import SpdyClient
from support.node import LiveNode
from support.pod_node import Agent, agent, served, shell

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node() -> Iterator[LiveNode]:
    live = LiveNode()
    asyncio.run(live.start())
    yield live
    asyncio.run(live.destroy())


class Calls:
    """An administrator's way to one agent."""

    def __init__(self, made: Agent, url: str, session: aiohttp.ClientSession) -> None:
        self.agent, self.url, self.session = made, url, session

    async def text(self, path: str, expect: int = 200) -> str:
        async with self.session.get(self.url + path) as answer:
            body = await answer.text()
            assert answer.status == expect, body
            return body


@pytest.fixture
async def calls(node: LiveNode, tmp_path: Path) -> AsyncIterator[Calls]:
    async with agent(node) as made, served(made, tmp_path) as (url, context):
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Calls(made, url, session)
            for pod in [pod.metadata.name for pod in made.manager.pods()]:
                await made.gone(pod)


async def collect(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """Everything said on each channel until the end."""
    channels: dict[int, bytes] = {}
    async for message in socket:
        channels[message.data[0]] = channels.get(message.data[0], b"") + message.data[1:]
    return channels


async def test_logs_tail_previous_and_errors(calls: Calls):
    await calls.agent.run_pod(shell("for i in 1 2 3 4; do echo line $i; done; sleep 1000"), name="talker")
    await calls.agent.running("talker")
    assert await calls.text("/containerLogs/default/talker/app?tailLines=2") == "line 3\nline 4\n"
    missing = json.loads(await calls.text("/containerLogs/default/talker/app?previous=true", expect=400))
    assert missing["message"] == 'previous terminated container "app" in pod "talker" not found'
    await calls.text("/containerLogs/default/nobody/app", expect=404)


async def test_a_followed_log_goes_on_until_the_container_ends(calls: Calls):
    script = "echo first; until [ -e /tmp/go ]; do sleep 0.05; done; echo last"
    await calls.agent.run_pod(shell(script), name="teller", restartPolicy="Never")
    await calls.agent.running("teller")
    async with calls.session.get(calls.url + "/containerLogs/default/teller/app?follow=true") as answer:
        assert await answer.content.readline() == b"first\n"
        await calls.agent.inside("teller", "touch", "/tmp/go")
        assert await answer.content.read() == b"last\n"


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_exec_over_websocket_gives_output_and_exit_code(calls: Calls, protocol: str):
    await calls.agent.run_pod(shell("sleep 1000"), name="box")
    await calls.agent.running("box")
    query = "command=sh&command=-c&command=echo out; echo err >%262; exit 7&stdout=true&stderr=true"
    async with calls.session.ws_connect(f"{calls.url}/exec/default/box/app?{query}", protocols=[protocol]) as socket:
        assert socket.protocol == protocol
        channels = await collect(socket)
    status = json.loads(channels[3])
    assert (channels[1], channels[2]) == (b"out\n", b"err\n")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


async def test_v5_carries_much_input_and_its_end(calls: Calls):
    await calls.agent.run_pod(shell("sleep 1000"), name="box")
    await calls.agent.running("box")
    url = f"{calls.url}/exec/default/box/app?command=wc&command=-c&stdin=true&stdout=true&stderr=true"
    async with calls.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
        for _ in range(64):
            await socket.send_bytes(b"\x00" + b"x" * 65536)
        await socket.send_bytes(b"\xff\x00")
        channels = await collect(socket)
    assert channels[1].strip() == str(64 * 65536).encode()
    assert json.loads(channels[3])["status"] == "Success"


async def test_v5_takes_input_in_text_messages_too(calls: Calls):
    await calls.agent.run_pod(shell("sleep 1000"), name="box")
    await calls.agent.running("box")
    url = f"{calls.url}/exec/default/box/app?command=head&command=-n1&stdin=true&stdout=true&stderr=true"
    async with calls.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
        await socket.send_str("\x00grüß\n")
        assert (await collect(socket))[1] == "grüß\n".encode()


async def test_attach_hears_a_running_container(calls: Calls):
    await calls.agent.run_pod(shell("while true; do echo tick; sleep 0.1; done"), name="ticker")
    await calls.agent.running("ticker")
    url = f"{calls.url}/attach/default/ticker/app?stdout=true"
    async with calls.session.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
        message = await socket.receive(timeout=5)
        assert message.data == b"\x01tick\n"


class _Tunnel:
    """The reading and writing ends of a SPDY connection inside WebSocket messages."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.reader = asyncio.StreamReader()
        self._socket = socket
        self._out = bytearray()

    def write(self, data: bytes) -> None:
        self._out += data

    async def drain(self) -> None:
        await self._socket.send_bytes(bytes(self._out))
        self._out.clear()

    async def pump(self) -> None:
        async for message in self._socket:
            self.reader.feed_data(message.data)
        self.reader.feed_eof()


async def test_port_forward_through_a_spdy_tunnel_in_a_websocket(calls: Calls):
    await calls.agent.run_pod(shell("echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"), name="web")
    await calls.agent.running("web")
    url = f"{calls.url}/portForward/default/web"
    async with calls.session.ws_connect(url, protocols=["SPDY/3.1+portforward.k8s.io"]) as socket:
        tunnel = _Tunnel(socket)
        pump = asyncio.create_task(tunnel.pump())
        session = SpdyClient(tunnel.reader, tunnel)  # type: ignore[arg-type]
        headers = {"port": "8080", "requestid": "0"}
        error = session.open({"streamtype": "error", **headers})
        await session.send(error, b"", end=True)
        stream = session.open({"streamtype": "data", **headers})
        await session.send(stream, b"GET /index.html HTTP/1.0\r\n\r\n")
        heard = b""
        async for data in session.receive():
            heard += data.payload if data.stream_id == stream else b""
            if heard.endswith(b"hello\n"):
                break
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
    assert b"200 OK" in heard


async def test_spdy_exec_is_a_byte_pipe(calls: Calls):
    await calls.agent.run_pod(shell("sleep 1000"), name="box")
    await calls.agent.running("box")
    host, port = calls.url.removeprefix("https://").split(":")
    context = calls.session.connector._ssl  # type: ignore[union-attr]
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(
        b"POST /exec/default/box/app?command=cat&stdin=true&stdout=true HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        b"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head
    session = SpdyClient(reader, writer)
    session.open({"streamtype": "error"})
    stdin = session.open({"streamtype": "stdin"})
    stdout = session.open({"streamtype": "stdout"})
    await session.send(stdin, b"ping", end=True)
    heard = b""
    async for data in session.receive():
        heard += data.payload if data.stream_id == stdout else b""
    assert heard == b"ping"
    writer.close()


async def test_only_an_administrator_is_served(calls: Calls):
    assert await calls.text("/healthz") == "ok"
    async with aiohttp.ClientSession() as stranger, stranger.get(calls.url + "/pods", ssl=False) as answer:
        assert answer.status == 401


async def test_an_unfit_request_is_refused_with_a_status(calls: Calls):
    await calls.agent.run_pod(shell("sleep 1000"), name="box")
    await calls.agent.running("box")
    refused = json.loads(await calls.text("/exec/default/box/app?stdout=true", expect=400))
    assert refused["message"] == "you must specify at least one command"
    assert json.loads(await calls.text("/exec/default/box/other?command=x&stdout=true", expect=404))["kind"] == "Status"


async def test_a_connection_to_a_pod_is_bytes_both_ways(calls: Calls):
    await calls.agent.run_pod(shell("echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"), name="web")
    await calls.agent.running("web")
    host, port = calls.url.removeprefix("https://").split(":")
    for asked, expect in ((8080, b"101"), (8081, b"503")):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=calls.session.connector._ssl)  # type: ignore[union-attr]
        writer.write(
            b"GET /connect/default/web/%d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" % asked
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == expect
        if expect == b"101":
            writer.write(b"GET /index.html HTTP/1.0\r\n\r\n")
            assert (await reader.read()).endswith(b"hello\n")
        writer.close()


async def test_the_nodes_logs_can_be_listed_and_read_but_nothing_else(calls: Calls, tmp_path: Path):
    root = tmp_path / "log"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "syslog").write_text("all is well\n")
    (root / "out").symlink_to("/etc")
    calls.agent.server._node_logs = root
    assert 'href="deep/"' in await calls.text("/logs/")
    assert await calls.text("/logs/deep/syslog") == "all is well\n"
    await calls.text("/logs/out/passwd", expect=404)


async def test_the_use_of_the_node_is_told_in_every_form(calls: Calls):
    await calls.agent.run_pod(shell("while true; do :; done", resources={"limits": {"cpu": "500m"}}), name="busy")
    await calls.agent.running("busy")
    await asyncio.sleep(1.2)
    found = json.loads(await calls.text("/usage"))
    [container] = next(pod for pod in found["pods"] if pod["name"] == "busy")["containers"]
    assert 300_000_000 < container["cpu"] < 600_000_000
    assert container["memory"] > 0
    summary = json.loads(await calls.text("/stats/summary"))
    assert "busy" in [pod["podRef"]["name"] for pod in summary["pods"]]
    assert 'container_cpu_usage_seconds_total{container="app",namespace="default",pod="busy"}' in await calls.text(
        "/metrics/resource"
    )
