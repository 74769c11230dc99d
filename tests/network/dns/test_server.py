"""The server on real sockets, with upstream servers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.network.dns import messages
from tests.network.dns.messages import Message, question
from tests.network.dns.ports import free_port

from motet.network.dns import wire
from motet.network.dns.forward import Forwarder, ResolvConf
from motet.network.dns.server import DnsServer
from motet.network.dns.view import View
from motet.network.dns.wire import Record
from motet.network.dns.zone import Zone, external_record

D = "cluster.local"
HERE = "127.0.0.1"
Reply = Callable[[bytes], bytes]


class Upstream(asyncio.DatagramProtocol):
    """Answers as it is told, and counts."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if response := self.reply(data):
            self.transport.sendto(response, addr)


@contextlib.asynccontextmanager
async def upstream(reply: Reply, port: int = 0) -> AsyncIterator[tuple[Upstream, int]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Upstream(reply), local_addr=(HERE, port))
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def serving(zone: Zone, *servers: str, port: int = 1) -> AsyncIterator[tuple[DnsServer, int]]:
    server = DnsServer(View(zone), Forwarder(lambda: servers, port, patience=0.2), HERE, free_port())
    async with server.serving() as bound:
        yield server, bound


async def ask(port: int, packet: bytes) -> Message:
    return messages.read(await raw(port, packet))


async def raw(port: int, packet: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(sock, packet, (HERE, port))
        async with asyncio.timeout(5):
            return await loop.sock_recv(sock, 4096)


async def ask_stream(port: int, packet: bytes) -> Message:
    reader, writer = await asyncio.open_connection(HERE, port)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        async with asyncio.timeout(5):
            return messages.read(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def zone() -> Zone:
    made = Zone(D)
    made.put("web", [Record(f"web.default.svc.{D}", wire.A, bytes((10, 43, 0, 7)))])
    made.put("many", [Record(f"many.default.svc.{D}", wire.A, bytes((10, 42, 0, n))) for n in range(100)])
    made.put("out", [external_record("out", "default", "www.example.com", D)])
    return made


async def test_it_answers_over_udp_and_tcp_whatever_the_spelling(zone: Zone) -> None:
    async with serving(zone) as (_, port):
        for name in (f"web.default.svc.{D}", f"WEB.deFault.svc.{D}"):
            assert (await ask(port, question(name))).data() == {"10.43.0.7"}
            assert (await ask_stream(port, question(name))).data() == {"10.43.0.7"}


async def test_too_long_an_answer_is_had_over_tcp(zone: Zone) -> None:
    async with serving(zone) as (_, port):
        assert (await ask(port, question(f"many.default.svc.{D}"))).truncated
        assert (await ask(port, question(f"many.default.svc.{D}", room=1232))).truncated
        assert len((await ask_stream(port, question(f"many.default.svc.{D}"))).data()) == 100


async def test_several_addresses_come_in_turn() -> None:
    zone = Zone(D)
    zone.put("db", [Record(f"db.{D}", wire.A, bytes((10, 42, 0, n))) for n in range(3)])
    async with serving(zone) as (_, port):
        first = {(await ask(port, question(f"db.{D}", ident=n))).answer[0][2] for n in range(6)}
        assert first == {"10.42.0.0", "10.42.0.1", "10.42.0.2"}


async def test_a_change_of_the_zone_is_seen_at_once(zone: Zone) -> None:
    async with serving(zone) as (server, port):
        assert (await ask(port, question(f"web.default.svc.{D}"))).data()
        zone.put("web", ())
        server.common.changed()
        assert (await ask(port, question(f"web.default.svc.{D}"))).rcode == wire.NXDOMAIN


async def test_other_names_are_asked_upstream_once_and_kept(zone: Zone) -> None:
    reply: Reply = lambda query: messages.answer(query, ("A", bytes((192, 0, 2, 5)), 60))  # noqa: E731
    async with upstream(reply) as (up, at), serving(zone, HERE, port=at) as (_, port):
        asked = [ask(port, question("www.example.com", ident=number)) for number in range(20)]
        for number, message in enumerate(await asyncio.gather(*asked)):
            assert (message.id, message.data()) == (number, {"192.0.2.5"})
        assert (await ask(port, question("www.example.com"))).data() == {"192.0.2.5"}
        assert up.asked == 1


async def test_the_search_path_of_a_pod_costs_the_upstream_one_question(zone: Zone) -> None:
    reply: Reply = lambda query: messages.answer(query, ("A", bytes((192, 0, 2, 5)), 60))  # noqa: E731
    async with upstream(reply) as (up, at), serving(zone, HERE, port=at) as (_, port):
        for _ in range(10):
            for suffix in (f".default.svc.{D}", f".svc.{D}", f".{D}"):
                assert (await ask(port, question(f"www.example.com{suffix}"))).rcode == wire.NXDOMAIN
            assert (await ask(port, question("www.example.com"))).data()
        assert up.asked == 1


async def test_a_denial_without_reason_and_a_failure_are_not_kept(zone: Zone) -> None:
    rcodes = [wire.SERVFAIL, wire.NXDOMAIN, wire.NXDOMAIN]
    reply: Reply = lambda query: messages.answer(query, rcode=rcodes.pop(0))  # noqa: E731
    async with upstream(reply) as (up, at), serving(zone, HERE, port=at) as (_, port):
        seen = [(await ask(port, question("x.example"))).rcode for _ in range(3)]
        assert seen == [wire.SERVFAIL, wire.NXDOMAIN, wire.NXDOMAIN]
        assert up.asked == 3


async def test_a_silent_upstream_means_failure_within_its_time(zone: Zone) -> None:
    async with upstream(lambda query: b"") as (_, at), serving(zone, HERE, port=at) as (_, port):
        began = time.monotonic()
        assert (await ask(port, question("www.example.com"))).rcode == wire.SERVFAIL
        assert time.monotonic() - began < 2.0


async def test_no_upstream_at_all_means_failure_at_once(zone: Zone) -> None:
    async with serving(zone) as (_, port):
        assert (await ask(port, question("www.example.com"))).rcode == wire.SERVFAIL


async def test_the_next_server_is_asked_when_the_first_is_silent_and_then_first(zone: Zone) -> None:
    reply: Reply = lambda query: messages.answer(query, ("A", bytes((192, 0, 2, 5)), 0))  # noqa: E731
    async with upstream(reply) as (_, at), upstream(lambda query: b"") as (silent, _):
        silent.transport.close()
        loop = asyncio.get_running_loop()
        transport, dumb = await loop.create_datagram_endpoint(
            lambda: Upstream(lambda query: b""), local_addr=("127.0.0.2", at)
        )
        async with serving(zone, "127.0.0.2", HERE, port=at) as (_, port):
            for _ in range(3):
                assert (await ask(port, question("www.example.com"))).data() == {"192.0.2.5"}
        assert dumb.asked == 1
        transport.close()


async def test_an_answer_to_another_question_is_not_believed(zone: Zone) -> None:
    def forged(query: bytes) -> bytes:
        return messages.answer(query[:2] + question("evil.example")[2:], ("A", bytes((6, 6, 6, 6)), 60))

    async with upstream(forged) as (_, at), serving(zone, HERE, port=at) as (_, port):
        assert (await ask(port, question("www.example.com"))).rcode == wire.SERVFAIL


async def test_an_external_name_is_resolved_upstream(zone: Zone) -> None:
    reply: Reply = lambda query: messages.answer(query, ("A", bytes((192, 0, 2, 5)), 60))  # noqa: E731
    async with upstream(reply) as (_, at), serving(zone, HERE, port=at) as (_, port):
        for ask_it in (ask, ask_stream):
            message = await ask_it(port, question(f"out.default.svc.{D}"))
            assert message.data("CNAME") == {"www.example.com"}
            assert message.data("A") == {"192.0.2.5"}


@pytest.mark.parametrize("reply", [b"", b"\x00" * 40, b"\xff" * 600])
async def test_an_upstream_that_talks_nonsense_means_failure(zone: Zone, reply: bytes) -> None:
    async with upstream(lambda query: query[:12] + reply) as (_, at), serving(zone, HERE, port=at) as (_, port):
        assert (await ask(port, question(f"out.default.svc.{D}"))).rcode == wire.SERVFAIL


async def test_an_unknown_version_of_edns_is_told_so(zone: Zone) -> None:
    async with serving(zone) as (_, port):
        packet = await raw(port, question(f"web.default.svc.{D}", room=1232, version=1))
        assert (packet[3] & 15, packet[-6]) == (0, 1)  # 16 in two parts: BADVERS


async def test_hostile_packets_change_nothing(zone: Zone) -> None:
    async with serving(zone) as (server, port):

        @given(
            st.binary(max_size=100) | st.binary(max_size=100).map(lambda noise: question("a.b", ident=1)[:12] + noise)
        )
        @settings(suppress_health_check=list(HealthCheck))
        def throw(packet: bytes) -> None:
            server.respond(packet, (HERE, 9))

        throw()
        for packet in (b"", b"\x00", b"\xff" * 1000):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(packet, (HERE, port))
            _, writer = await asyncio.open_connection(HERE, port)
            writer.write(b"\x00\x05" + packet[:5])
            writer.close()
            await writer.wait_closed()
        assert (await ask(port, question(f"web.default.svc.{D}"))).data() == {"10.43.0.7"}


def test_the_machines_servers_are_read_again_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = ResolvConf(path, besides=("10.43.0.10",))
    assert servers() == ()
    path.write_text("# a comment\nsearch x\nnameserver 192.0.2.1\nnameserver 10.43.0.10\n")
    assert servers() == ("192.0.2.1",)
    other = tmp_path / "new"
    other.write_text("nameserver 192.0.2.2\n")
    other.rename(path)
    assert servers() == ("192.0.2.2",)


async def test_an_asker_may_have_others_asked_than_the_node_does(zone: Zone) -> None:
    theirs: Reply = lambda query: messages.answer(query, ("A", bytes((192, 0, 2, 9)), 60))  # noqa: E731
    own: Reply = lambda query: messages.answer(query, ("A", bytes((192, 0, 2, 5)), 60))  # noqa: E731
    async with upstream(own) as (_, at), upstream(theirs) as (_, other), serving(zone, HERE, port=at) as (server, port):
        assert (await ask(port, question("www.example.com"))).data() == {"192.0.2.5"}
        out = Forwarder(lambda: (HERE,), other)
        server.forwarders = {HERE: out}
        assert (await ask(port, question("www.example.com"))).data() == {"192.0.2.9"}
        assert "192.0.2.9" in (await ask(port, question(f"out.default.svc.{D}"))).data()
        assert (await ask(port, question(f"web.default.svc.{D}"))).data() == {"10.43.0.7"}
        server.forwarders = {}
        assert (await ask(port, question("www.example.com"))).data() == {"192.0.2.5"}
        await out.close()


async def test_a_silent_server_of_an_askers_own_is_not_made_up_for_by_the_nodes(zone: Zone) -> None:
    reply: Reply = lambda query: messages.answer(query, ("A", bytes((192, 0, 2, 5)), 60))  # noqa: E731
    async with upstream(reply) as (up, at), serving(zone, HERE, port=at) as (server, port):
        out = Forwarder(lambda: (HERE,), 1, patience=0.2)
        server.forwarders = {HERE: out}
        assert (await ask(port, question("www.example.com"))).rcode == wire.SERVFAIL
        assert up.asked == 0
