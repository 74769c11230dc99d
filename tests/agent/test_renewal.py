"""A node's certificate renews itself while everything goes on: real TLS, with certificates that live for seconds."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509

from motet.agent.renewal import Renewal
from motet.base.clock import FakeClock, SystemClock
from motet.base.errors import Unavailable
from motet.client.remote import RemoteClient
from motet.identity import tls
from motet.identity.node_files import NodeFiles
from motet.kinds import node as node_kind
from motet.kinds import service as service_kind
from motet.machine import joining
from motet.server.config import ServerConfig
from motet.server.main import serving

LIFETIME = timedelta(seconds=4)


def pytest_asyncio_loop_factories() -> dict[str, object]:
    return {"uvloop": uvloop.new_event_loop}


def serial(files: NodeFiles) -> int:
    return x509.load_pem_x509_certificate(files.pair.read_bytes()).serial_number


@contextlib.asynccontextmanager
async def manager(directory: Path, lifetime: timedelta = LIFETIME) -> AsyncIterator[str]:
    """The URL of a manager whose certificates do not live long."""
    config = ServerConfig(data_dir=directory, host="127.0.0.1", port=0, certificate_lifetime=lifetime)
    async with serving(config) as server:
        yield f"https://127.0.0.1:{server.port}"


async def joined(url: str, server: Path, files: NodeFiles) -> None:
    pki = server / "pki"
    admin = tls.client_context(pki / "ca.crt", pki / "admin.crt", pki / "admin.key")
    await joining.join_as_administrator(url, admin, "n1", "192.0.2.9", files.directory)


async def test_a_node_outlives_its_certificates_without_noticing(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path / "node")
    async with manager(tmp_path / "server") as url:
        await joined(url, tmp_path / "server", files)
        context = tls.client_context(files.ca, files.pair, files.pair)
        own = tls.server_context(files.pair, files.pair, files.ca)
        listener = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=own)
        async with listener, RemoteClient(url, context) as client:
            table = await client.table(service_kind.KIND)
            renewal = asyncio.create_task(Renewal(files, client, SystemClock(), (context, own)).run())
            seen = [serial(files)]
            # Three renewals take us past the life of the first two certificates, with a request every few milliseconds.
            async with asyncio.timeout(30):
                while len(seen) < 4:
                    await client.get(node_kind.KIND, "n1")
                    if serial(files) != seen[-1]:
                        seen.append(serial(files))
                    await asyncio.sleep(0.02)
            assert not renewal.done()
            assert table.get("kubernetes", "default") is not None
            assert await shown(listener, context) == seen[-1]
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)


async def shown(listener: asyncio.Server, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a listener shows now."""
    port = listener.sockets[0].getsockname()[1]
    context.check_hostname = False
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


class Deaf:
    """A client whose manager is away."""

    def __init__(self) -> None:
        self.asked = 0

    async def request(self, method: str, path: str, body: object = None) -> bytes:
        self.asked += method == "POST"
        raise Unavailable("away")

    def reconnect(self) -> None:
        raise AssertionError("nothing was renewed")


async def test_a_renewal_waits_for_two_thirds_and_then_asks_until_it_is_heard(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path / "node")
    async with manager(tmp_path / "server", timedelta(days=90)) as url:
        await joined(url, tmp_path / "server", files)
    before = files.pair.read_bytes()
    clock = FakeClock(SystemClock().now())
    client = Deaf()
    task = asyncio.create_task(Renewal(files, client, clock, ()).run())
    clock._now += timedelta(days=59)  # at once: what the process does while its machine sleeps
    await clock.advance(60)
    assert client.asked == 0
    async with asyncio.timeout(10):
        while client.asked < 3:
            clock._now += timedelta(hours=6)
            await clock.advance(60)
            await asyncio.sleep(0.001)
    assert files.pair.read_bytes() == before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("lifetime", [timedelta(minutes=10), timedelta(days=90)])
async def test_a_certificate_just_made_needs_no_renewal(tmp_path: Path, lifetime: timedelta) -> None:
    from motet.identity import requests

    files = NodeFiles(tmp_path / "node")
    async with manager(tmp_path / "server", lifetime) as url:
        await joined(url, tmp_path / "server", files)
    life = requests.lifetime(files.pair.read_bytes())
    assert abs(life.ends - life.begins - lifetime) < timedelta(seconds=2)
    assert life.renew_at > SystemClock().now() + lifetime / 2
