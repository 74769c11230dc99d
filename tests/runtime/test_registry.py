"""The client of registries, against a real server; and where it asks."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from motet.runtime.imagestore import Descriptor
from motet.runtime.interface import ImageNotFound, RuntimeFailure
from motet.runtime.registry import Manifest, Refused, Registry, split
from motet.runtime.registryhosts import endpoints
from support.images import busybox_image
from support.registry import registry


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_image(tmp_path_factory.mktemp("image") / "image.tar")


def client(port: int, tmp_path: Path, **auth: str) -> Registry:
    return Registry(tmp_path, f"127.0.0.1:{port}", auth)


def test_a_tag_is_what_the_registry_says(archive: Path, tmp_path: Path) -> None:
    with registry(archive) as port:
        found = asyncio.run(client(port, tmp_path).manifest("a/b", "1"))
    assert found.descriptor.digest == f"sha256:{hashlib.sha256(found.body).hexdigest()}"
    assert found.descriptor.media_type == "application/vnd.oci.image.manifest.v1+json"


def test_a_tag_that_is_not_there_is_not_found(archive: Path, tmp_path: Path) -> None:
    with registry(archive) as port, pytest.raises(ImageNotFound, match="MANIFEST_UNKNOWN"):
        asyncio.run(client(port, tmp_path).manifest("a/b", "2"))


def test_credentials_are_checked_and_never_said(archive: Path, tmp_path: Path) -> None:
    with registry(archive, credentials=("ann", "right")) as port:
        asyncio.run(client(port, tmp_path, username="ann", password="right").check())
        for auth in ({}, {"username": "ann", "password": "wr0ng"}):
            with pytest.raises(Refused) as refused:
                asyncio.run(client(port, tmp_path, **auth).check())
            assert "wr0ng" not in str(refused.value)


def test_a_registry_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="cannot be reached"):
        asyncio.run(client(1, tmp_path).check())


def test_what_is_pushed_can_be_pulled(archive: Path, tmp_path: Path) -> None:
    blob = b"a layer"
    layer = Descriptor("application/octet-stream", f"sha256:{hashlib.sha256(blob).hexdigest()}", len(blob))
    body = json.dumps({"layers": [layer.digest]}).encode()
    sent = Manifest(Descriptor("application/x", f"sha256:{hashlib.sha256(body).hexdigest()}", len(body)), body)
    heard: list[str] = []

    async def read(_: str) -> AsyncIterator[bytes]:
        yield blob[:3]
        yield blob[3:]

    async def work(port: int) -> None:
        ours = client(port, tmp_path, username="ann", password="right")
        for _ in range(2):
            await ours.push("a/b", "new", sent, [layer], read, lambda _, state: heard.append(state))
        assert await ours.manifest("a/b", "new") == sent
        assert await ours.blob("a/b", layer.digest) == blob

    with registry(archive, credentials=("ann", "right")) as port:
        asyncio.run(work(port))
    assert heard == ["pushing", "pushed", "exists"]


@contextmanager
def token_registry(token: bytes = b"t") -> Iterator[tuple[int, list[str]]]:
    """A registry that wants a token of its own server; yields its port and what was asked of that."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/token"):
                asked.append(self.path.partition("?")[2] + " " + str(self.headers.get("Authorization")))
                return self._answer(200, b'{"token": "%s"}' % token)
            if self.headers.get("Authorization") == "Bearer t":
                return self._answer(200, b"{}")
            realm = f"http://127.0.0.1:{self.server.server_address[1]}/token"
            return self._answer(401, b"{}", f'Bearer realm="{realm}",service="s"')

        def _answer(self, code: int, body: bytes, challenge: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            if challenge:
                self.send_header("WWW-Authenticate", challenge)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_token_is_had_from_the_server_that_the_registry_names(tmp_path: Path) -> None:
    with token_registry() as (port, asked):
        asyncio.run(client(port, tmp_path, username="ann", password="x").manifest("a/b", "1"))
    assert asked == ["service=s&scope=repository:a/b:pull Basic YW5uOng="]


def test_an_answer_that_is_too_long_for_a_token_is_not_read(tmp_path: Path) -> None:
    with (
        token_registry(b"t" * 1024 * 1024) as (port, _),
        pytest.raises(RuntimeFailure, match="more than 1048576 bytes"),
    ):
        asyncio.run(client(port, tmp_path).manifest("a/b", "1"))


def test_names_come_apart() -> None:
    assert split("docker.io/library/web:1") == ("docker.io", "library/web", "1")
    assert split("h:5/a/b:1@sha256:00") == ("h:5", "a/b", "sha256:00")


def urls(directory: Path, host: str, capability: str = "pull") -> list[str]:
    return [each.url for each in endpoints(directory, host, capability)]


def test_registries_are_asked_where_containerd_asks_them(tmp_path: Path) -> None:
    assert urls(tmp_path, "docker.io") == ["https://registry-1.docker.io/v2"]
    assert urls(tmp_path, "localhost:5000") == ["http://localhost:5000/v2"]
    assert urls(tmp_path, "example.com") == ["https://example.com/v2"]


def test_hosts_toml_names_mirrors_for_what_they_can(tmp_path: Path) -> None:
    folder = tmp_path / "example.com"
    folder.mkdir()
    text = 'server = "http://real:5000"\n[host."http://mirror:1"]\ncapabilities = ["pull", "resolve"]\n'
    (folder / "hosts.toml").write_text(text)
    assert urls(tmp_path, "example.com") == ["http://mirror:1/v2", "http://real:5000/v2"]
    assert urls(tmp_path, "example.com", "push") == ["http://real:5000/v2"]


def test_a_broken_hosts_toml_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "example.com"
    folder.mkdir()
    (folder / "hosts.toml").write_text("server =")
    with pytest.raises(RuntimeFailure, match=r"hosts\.toml"):
        urls(tmp_path, "example.com")
