"""The example of the README: three services built on the spot, one command, entries that survive.

Building takes a minute or more, so the builder's storage is kept in a cache between sessions, named after everything that
goes into it; without a cache everything is built from nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import urllib.parse
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from e2e.cluster import ADDRESS, Cluster, until
from motet.cli import build
from motet.runtime import mounts

EXAMPLE = Path(__file__).parents[2] / "examples/guestbook"
VALUES = {"GUESTBOOK_BASE": "localhost/motet/debian:bookworm", "GUESTBOOK_DB_PASSWORD": "as-secret-as-it-gets", "GUESTBOOK_PORT": "18888"}  # fmt: skip
FILE = str(EXAMPLE / "compose.yaml")


def _cache() -> Path:
    """The directory for this very example and builder."""
    made_of = hashlib.sha256()
    for directory in (EXAMPLE, Path(build.__file__).parent):
        for path in sorted(directory.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                made_of.update(path.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "motet-tests"
    return base / f"guestbook-{made_of.hexdigest()[:12]}"


def _build(cluster: Cluster) -> None:
    """Where packages can be had: outside. `motet up` inside then finds every layer."""
    cluster.motet("image", "debian", timeout=300, outside=True)
    for service in ("web", "db", "cache"):
        program = (
            "import asyncio, sys; from pathlib import Path; from motet.runtime.buildah import Buildah;"
            "asyncio.run(Buildah(Path(sys.argv[1])).build(Path(sys.argv[2]), sys.argv[3], print,"
            "options=['--file', sys.argv[2] + '/Containerfile', '--build-arg', 'BASE=' + sys.argv[4]]))"
        )
        storage, context = str(cluster.machine.builder), str(EXAMPLE / service)
        arguments = (storage, context, f"localhost/guestbook/{service}:latest", VALUES["GUESTBOOK_BASE"])
        cluster.run(sys.executable, "-c", program, *arguments, timeout=400, outside=True)


@pytest.fixture(scope="module")
def guestbook(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the example on it."""
    cache = _cache()
    (cache / "builder").mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Earlier tests may have built something here.
        mounts.unmount_below(cluster.machine.builder)
        shutil.rmtree(cluster.machine.builder, ignore_errors=True)
        cluster.machine.builder.symlink_to(cache / "builder")
        if not (cache / "has-all").exists():
            _build(cluster)
            (cache / "has-all").touch()
        cluster.motet("up", FILE, env=VALUES, timeout=400)
    yield cluster
    cluster.motet("down", FILE, "--volumes", env=VALUES, timeout=120)
    cluster.machine.builder.unlink()


def page(cluster: Cluster) -> str:
    return cluster.http(ADDRESS, 18888)


def sign(cluster: Cluster, name: str, message: str) -> int:
    def post() -> int:
        connection = HTTPConnection(ADDRESS, 18888, timeout=10)
        try:
            body = urllib.parse.urlencode({"name": name, "text": message})
            connection.request("POST", "/", body, {"Content-Type": "application/x-www-form-urlencoded"})
            return connection.getresponse().status
        finally:
            connection.close()

    return cluster.inside(post)


def test_the_example_answers_and_its_entries_survive(guestbook: Cluster):
    assert "<html" in page(guestbook).lower()
    assert sign(guestbook, "Perotin", "viderunt omnes") in (200, 302, 303)
    until(lambda: "viderunt omnes" in page(guestbook))
    guestbook.motet("down", FILE, env=VALUES, timeout=120)
    with pytest.raises(ConnectionRefusedError):
        guestbook.http(ADDRESS, 18888, timeout=2)
    guestbook.motet("up", FILE, env=VALUES, timeout=240)
    assert "viderunt omnes" in page(guestbook)


def test_it_scales_and_up_again_has_nothing_to_do(guestbook: Cluster):
    assert "nothing to do" in guestbook.motet("up", FILE, env=VALUES, timeout=240).stdout
    guestbook.motet("scale", "-p", "guestbook", "web=3", timeout=120)
    rows = {row["name"]: row for row in json.loads(guestbook.motet("ps", "-p", "guestbook", "-o", "json").stdout)}
    assert (rows["web"]["state"], rows["web"]["ready"]) == ("ready", "3/3")
    assert "PostgreSQL" in guestbook.motet("exec", "-p", "guestbook", "db", "psql", "--version").stdout
    assert "18888" in json.dumps(rows["web"]["ports"])


def test_the_password_is_in_no_listing_and_no_log(guestbook: Cluster):
    secret = VALUES["GUESTBOOK_DB_PASSWORD"]
    for text in (
        guestbook.kubectl("get", "all", "-n", "guestbook", "-o", "yaml"),
        guestbook.motet("logs", "-p", "guestbook").stdout,
        *(guestbook.log(part) for part in ("server", "agent", "daemon")),
    ):
        assert secret not in text
