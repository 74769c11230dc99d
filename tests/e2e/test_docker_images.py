"""The docker command line and the images of a real node: what it says, word for word, and that it is true."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dialects.docker import transcript
from dialects.docker.transcript import clients
from e2e.cluster import Cluster, until
from support.images import busybox_image
from support.registry import registry


@contextmanager
def serving(cluster: Cluster, archive: Path, **options: tuple[str, str]) -> Iterator[str]:
    """A registry in the cluster's network; yields its name."""
    ready, over = threading.Event(), threading.Event()
    found: list[int] = []

    def serve() -> None:
        cluster.enter()
        with registry(archive, **options) as port:
            found.append(port)
            ready.set()
            over.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(20)
        yield f"localhost:{found[0]}"
    finally:
        over.set()
        thread.join()


@pytest.fixture(params=["new", "old"])
def docker(request: pytest.FixtureRequest) -> Path:
    found = clients().get(request.param)
    if found is None:
        pytest.skip(f"there is no {request.param} docker command here")
    return found


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "web.tar"
    config = {"Labels": {"tier": "front"}, "ExposedPorts": {"80/tcp": {}}, "Cmd": ["pause"]}
    return busybox_image(path, "localhost/web:1", {"/www/index.html": "hello\n"}, config, compress=True)


def host(cluster: Cluster) -> str:
    return f"unix://{cluster.machine.docker_socket}"


def test_images_in_conversation(cluster: Cluster, docker: Path, archive: Path, tmp_path: Path):
    with (
        serving(cluster, archive) as open_one,
        serving(cluster, archive, credentials=("ann", "s3cret")) as private,
    ):
        variables = {"REGISTRY": open_one, "PRIVATE": private}
        transcript.check(docker, "images", host(cluster), tmp_path, variables)


def test_builds_and_archives_in_conversation(cluster: Cluster, docker: Path, archive: Path, tmp_path: Path):
    with serving(cluster, archive) as name:
        transcript.check(docker, "builds", host(cluster), tmp_path, {"REGISTRY": name})


def test_a_service_keeps_the_digest_its_tag_had(cluster: Cluster, archive: Path, tmp_path: Path):
    docker = clients().get("new")
    if docker is None:
        pytest.skip("there is no docker command here")
    with serving(cluster, archive) as name:
        said = transcript.run(
            docker, f"docker service create --detach --name pinned {name}/shop/web:1", host(cluster), tmp_path
        )
        try:
            assert said == "<id>\n"

            def image() -> str:
                pods = cluster.read("/api/v1/namespaces/default/pods")["items"]
                found = next(pod for pod in pods if pod["metadata"]["name"].startswith("pinned"))
                assert found["status"]["phase"] == "Running", found["status"]
                return str(found["spec"]["containers"][0]["image"])

            assert until(image).startswith(f"{name}/shop/web:1@sha256:")
        finally:
            transcript.run(docker, "docker service rm pinned", host(cluster), tmp_path)


def test_an_images_own_health_check_counts_and_users_have_names(cluster: Cluster, tmp_path: Path):
    docker = clients().get("new")
    if docker is None:
        pytest.skip("there is no docker command here")
    second = 1_000_000_000
    check = {"Test": ["CMD-SHELL", "test -f /tmp/up"], "Interval": second, "Retries": 3, "StartPeriod": 120 * second}
    config = {"Healthcheck": check, "Cmd": ["sh", "-c", "id; exec pause"]}
    busybox_image(tmp_path / "checked.tar", "localhost/checked:1", {}, config)
    create = "docker service create --detach --quiet --no-resolve-image --name checked --user nobody:root"
    transcript.run(docker, f"docker load < checked.tar; {create} localhost/checked:1", host(cluster), tmp_path)
    try:

        def pod() -> dict[str, Any]:
            pods = cluster.read("/api/v1/namespaces/default/pods")["items"]
            return next(each for each in pods if each["metadata"]["name"].startswith("checked"))

        def status() -> dict[str, Any]:
            found = pod()["status"].get("containerStatuses")
            assert found
            return found[0]

        until(lambda: status()["state"].get("running"))
        name = pod()["metadata"]["name"]
        until(lambda: "uid=65534(nobody) gid=0(root)" in cluster.kubectl("logs", name))
        assert (status()["started"], status()["ready"]) == (False, False)
        cluster.kubectl("exec", name, "--", "touch", "/tmp/up")
        until(lambda: status()["ready"], what="what holds makes it ready")
        cluster.kubectl("exec", name, "--", "rm", "/tmp/up")
        until(
            lambda: "\\_ checked.1" in transcript.run(docker, "docker service ps checked", host(cluster), tmp_path),
            what="a task that is not healthy any more is replaced",
        )
    finally:
        transcript.run(docker, "docker service rm checked", host(cluster), tmp_path)
