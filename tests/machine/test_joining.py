"""What is typed to join, and whom a joiner believes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest
import uvloop

from motet.base.errors import AlreadyExists, MotetError, Unauthorized, Unavailable
from motet.cli.init import checked_address
from motet.client.remote import RemoteClient
from motet.identity import tls, tokens
from motet.identity.authority import Authority
from motet.identity.node_files import NodeFiles
from motet.machine import joining
from motet.machine.layout import Machine, Settings
from motet.server.config import ServerConfig
from motet.server.main import serving


def pytest_asyncio_loop_factories() -> dict[str, object]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("192.0.2.1:6443", "https://192.0.2.1:6443"),
        ("192.0.2.1", "https://192.0.2.1:6443"),
        ("https://m.example:7000/", "https://m.example:7000"),
    ],
)
def test_the_managers_address_may_be_typed_in_several_ways(text: str, url: str):
    assert joining.parse_server(text) == url


@pytest.mark.parametrize("text", ["", ":6443", "host:", "host:port", "host:99999", "a/b:1"])
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(MotetError, match="is not the address of a manager"):
        joining.parse_server(text)


@pytest.mark.parametrize("text", ["0.0.0.0", "224.0.0.1", "host", "::1"])
def test_an_address_nobody_can_use_is_not_advertised(text: str):
    with pytest.raises(click.BadParameter):
        checked_address(text)


def test_a_machines_settings_of_before_there_were_workers_are_a_managers(tmp_path: Path):
    (tmp_path / "machine.json").write_text('{"node_name": "n1", "address": "192.0.2.1"}')
    settings = Machine(tmp_path).settings()
    assert settings is not None
    assert settings.is_manager
    assert Machine(tmp_path).url(settings) == "https://127.0.0.1:6443"


def test_a_worker_asks_the_manager_it_joined(tmp_path: Path):
    settings = Settings("n2", "192.0.2.2", role="worker", servers=("https://192.0.2.1:6443",))
    Machine(tmp_path).remember(settings)
    assert Machine(tmp_path).settings() == settings
    assert Machine(tmp_path).url(settings) == "https://192.0.2.1:6443"


@contextlib.asynccontextmanager
async def manager(directory: Path) -> AsyncIterator[tuple[str, tokens.Token]]:
    """A manager's URL and its worker's token."""
    async with serving(ServerConfig(data_dir=directory, host="127.0.0.1", port=0)) as server:
        url = f"https://127.0.0.1:{server.port}"
        pki = directory / "pki"
        context = tls.client_context(pki / "ca.crt", pki / "admin.crt", pki / "admin.key")
        async with RemoteClient(url, context) as client:
            from motet.cli import join_token

            yield url, joining.parse_token((await join_token.fetch(client, "worker")).token)


async def test_a_joiner_that_was_a_member_of_another_cluster_joins_as_a_stranger(tmp_path: Path):
    files = NodeFiles(tmp_path / "node")
    async with manager(tmp_path / "one") as (url, token):
        await joining.join(url, token, "n1", "192.0.2.9", files.directory)
    async with manager(tmp_path / "two") as (url, token):
        issued = await joining.join(url, token, "n1", "192.0.2.9", files.directory)
        assert files.pair.read_text().startswith(issued.certificate)
        assert files.pair.stat().st_mode & 0o777 == 0o600


async def test_a_join_whose_answer_got_lost_is_asked_for_again_with_the_same_key(tmp_path: Path):
    files = NodeFiles(tmp_path / "node")
    async with manager(tmp_path / "one") as (url, token):
        first = await joining.join(url, token, "n1", "192.0.2.9", files.directory)
        key = files.pair.read_text().removeprefix(first.certificate)
        assert not files.pending.exists()
        files.pair.unlink()
        files.pending.write_text(key)
        again = await joining.join(url, token, "n1", "192.0.2.9", files.directory)
        assert again.uid == first.uid


async def test_a_machine_that_was_set_up_anew_is_not_the_node_it_was(tmp_path: Path):
    async with manager(tmp_path / "one") as (url, token):
        await joining.join(url, token, "n1", "192.0.2.9", tmp_path / "before")
        with pytest.raises(AlreadyExists, match="motet node rm n1"):
            await joining.join(url, token, "n1", "192.0.2.9", tmp_path / "after")
        assert not (tmp_path / "after").exists()


async def test_the_secret_is_not_said_to_somebody_with_another_root(tmp_path: Path):
    async with manager(tmp_path / "one") as (url, token):
        other = tokens.Token(bytes.fromhex(Authority.create(tmp_path / "other").digest), token.secret)
        with pytest.raises(MotetError, match="Nothing secret was sent"):
            await joining.join(url, other, "n1", "192.0.2.9", tmp_path / "node")
        wrong = tokens.Token(token.digest, "a" * 26)
        with pytest.raises(Unauthorized):
            await joining.join(url, wrong, "n1", "192.0.2.9", tmp_path / "node")
        assert not (tmp_path / "node").exists()


async def test_a_manager_that_is_not_there_is_named():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(Unavailable, match=rf"the manager at https://127.0.0.1:{port} cannot be reached"):
        await joining.roots(f"https://127.0.0.1:{port}", tokens.Token(b"\0" * 32, ""))
