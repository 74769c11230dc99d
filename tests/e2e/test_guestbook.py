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

from e2e.cluster import ADDRESS, Cluster, Json, until
from e2e.space import Space, ready
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


def database(image: str) -> list[Json]:
    """The example's database as those who know Kubernetes write it: a StatefulSet with a claim of its own."""
    container = {
        "name": "db",
        "image": image,
        "env": [
            {"name": "POSTGRES_DB", "value": "shop"},
            {"name": "POSTGRES_PASSWORD_FILE", "value": "/run/secrets/db/password"},
        ],
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/postgresql/data"},
            {"name": "password", "mountPath": "/run/secrets/db", "readOnly": True},
        ],
        "readinessProbe": {"exec": {"command": ["pg_isready", "--quiet", "--host", "127.0.0.1"]}, "periodSeconds": 1},
    }
    size = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "200Mi"}}}
    spec = {
        "serviceName": "db",
        "replicas": 1,
        "selector": {"matchLabels": {"app": "db"}},
        "template": {
            "metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [container], "volumes": [{"name": "password", "secret": {"secretName": "db"}}]},
        },
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": size}],
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "s3cret"}}
    headless = {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 5432}]}
    return [
        secret,
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": headless},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec},
    ]


def query(space: Space, statement: str) -> str:
    """By the name and the password that other pods would use; the name may be new, and not known everywhere yet."""
    address = "postgresql://postgres:s3cret@db-0.db/shop"
    words = ("psql", "--no-align", "--tuples-only", "--quiet", "--command", statement, address)
    return until(lambda: (space.exec("db-0", *words),))[0]


def test_rows_survive_the_pod_the_image_and_the_drain_of_the_node(guestbook: Cluster, space: Space):
    pods = guestbook.read("/api/v1/namespaces/guestbook/pods")["items"]
    image = next(name for each in pods if "/db:" in (name := each["spec"]["containers"][0]["image"]))
    newer = f"{image.rpartition(':')[0]}:newer"
    tag = f"http://docker/images/{image}/tag?repo={newer.rpartition(':')[0]}&tag=newer"
    guestbook.run("curl", "-sSf", "-X", "POST", "--unix-socket", str(guestbook.machine.docker_socket), tag)
    space.apply(*database(image))

    def another(uid: str) -> Json:
        return space.wait("pods", "db-0", lambda found: found["metadata"]["uid"] != uid and ready(found), 90)

    def rows() -> str:
        return query(space, "select text from orders order by id")

    first = another("")
    query(space, "create table orders (id serial, text text); insert into orders (text) values ('bread')")
    space.kubectl("delete", "pod", "db-0")
    second = another(first["metadata"]["uid"])
    assert rows() == "bread\n"
    query(space, "insert into orders (text) values ('wine')")
    space.kubectl("set", "image", "statefulset/db", f"db={newer}")
    third = another(second["metadata"]["uid"])
    assert third["spec"]["containers"][0]["image"] == newer
    assert rows() == "bread\nwine\n"
    node = third["spec"]["nodeName"]
    space.kubectl("drain", node, "--pod-selector=app=db", "--delete-emptydir-data", "--timeout=60s", timeout=90)
    try:
        assert "unschedulable" in space.event("db-0", "FailedScheduling")
    finally:
        space.kubectl("uncordon", node)
    another(third["metadata"]["uid"])
    assert rows() == "bread\nwine\n"


def test_the_password_is_in_no_listing_and_no_log(guestbook: Cluster):
    secret = VALUES["GUESTBOOK_DB_PASSWORD"]
    for text in (
        guestbook.kubectl("get", "all", "-n", "guestbook", "-o", "yaml"),
        guestbook.motet("logs", "-p", "guestbook").stdout,
        *(guestbook.log(part) for part in ("server", "agent", "daemon")),
    ):
        assert secret not in text
