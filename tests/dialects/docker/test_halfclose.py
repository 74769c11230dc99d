"""TLS whose two directions end each for itself."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from motet.dialects.docker.halfclose import HalfCloseTls


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("tls")
    found = directory / "crt", directory / "key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=localhost", "-out", str(found[0]), "-keyout", str(found[1])]
    subprocess.run(command, check=True, capture_output=True)
    return found


async def _answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says how much it was told, once it was told that this was all."""
    told = await reader.read()
    writer.write(b"%d bytes\n" % len(told) * 1000)
    await writer.drain()
    writer.close()


def _ask(port: int, certificate: Path, data: bytes) -> bytes:
    """What is answered after our direction has ended by close_notify, as Go's clients end it."""
    context = ssl.create_default_context(cafile=str(certificate))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:

        def step(work):  # type: ignore[no-untyped-def]
            while True:
                try:
                    return work()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))
                finally:
                    connection.sendall(outgoing.read())

        step(tls.do_handshake)
        tls.write(data)
        connection.sendall(outgoing.read())
        try:
            tls.unwrap()
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
        # What comes is only read from now on.
        while piece := connection.recv(65536):
            found += piece
    return found


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_what_is_said_after_the_end_of_the_input_arrives(certificate: tuple[Path, Path], size: int) -> None:
    async def run() -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, certificate))
        loop = asyncio.get_running_loop()

        def behind() -> asyncio.Protocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), _answer_late, loop=loop)

        server = await loop.create_server(lambda: HalfCloseTls(context, behind), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(_ask, port, certificate[0], b"x" * size)

    # Records of TLS: what matters is that they come, with more in them than an alert.
    assert len(asyncio.run(run())) > 1000


def test_whoever_speaks_no_tls_is_shown_out(certificate: tuple[Path, Path]) -> None:
    async def run() -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, certificate))
        server = await asyncio.get_running_loop().create_server(
            lambda: HalfCloseTls(context, asyncio.Protocol), "127.0.0.1", 0
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            found = await reader.read()
            writer.close()
            return found

    assert len(asyncio.run(run())) < 100
