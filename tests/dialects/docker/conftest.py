"""A manager without nodes that serves the Docker API, and the docker commands to talk to it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dialects.docker.transcript import clients
from motet.client.remote import RemoteClient
from motet.identity import tls
from motet.kinds import node as node_kind
from motet.machine.layout import Machine


@dataclass(frozen=True)
class Manager:
    """`host` is what DOCKER_HOST is; `port` serves the API, `docker_port` Docker's with TLS."""

    machine: Machine
    port: int
    docker_port: int
    socket: Path

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    def context(self) -> ssl.SSLContext:
        pki = self.machine.pki
        return tls.client_context(pki / "ca.crt", pki / "admin.crt", pki / "admin.key")

    def client(self) -> RemoteClient:
        return RemoteClient(f"https://127.0.0.1:{self.port}", self.context())

    def make(self, *documents: tuple[Any, dict[str, Any]]) -> None:
        """Create what is not there yet."""

        async def work() -> None:
            async with self.client() as client:
                for kind, document in documents:
                    known = {each.name for each in await client.list(kind)}
                    if document["metadata"]["name"] not in known:
                        await client.create(kind, document)
                        if kind is node_kind.KIND:
                            name, status = document["metadata"]["name"], {"status": document["status"]}
                            await client.patch(kind, name, status, subresource="status")

        asyncio.run(work())

    def remove(self, kind: Any, name: str) -> None:
        async def work() -> None:
            async with self.client() as client:
                await client.delete(kind, name)

        asyncio.run(work())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="package")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    directory = tmp_path_factory.mktemp("m")
    found = Manager(Machine(directory / "data"), free_port(), free_port(), directory / "docker.sock")
    command = [sys.executable, "-m", "motet", "server", "--data-dir", str(found.machine.data_dir)]
    command += ["--listen", f"127.0.0.1:{found.port}", "--docker-socket", str(found.socket)]
    command += ["--docker-port", str(found.docker_port), "--durability", "normal"]
    # Nodes that are documents only are silent.
    command += ["--node-grace", "3600"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not found.socket.exists():
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(params=["new", "old"])
def docker(request: pytest.FixtureRequest) -> Path:
    """A docker command line; the old one is Debian's 20.10, which `make` unpacks."""
    found = clients().get(request.param)
    if found is None:
        pytest.skip(f"there is no {request.param} docker command here")
    return found
