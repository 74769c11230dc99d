"""Docker's own Python clients with containers: the SDK, and docker-compose of the days before it became a plugin."""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import IMAGE, Cluster, until

docker: Any = importlib.import_module("docker")

COMPOSE = os.environ.get("DOCKER_COMPOSE", "")
FILE = f"""
version: "3.7"
services:
  web:
    image: {IMAGE}
    command: sh -c "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    ports: ["31999:80"]
    networks: [front]
    volumes: ["data:/data"]
    depends_on: [db]
    stop_grace_period: 1s
  db:
    image: {IMAGE}
    command: sh -c "echo db is up; sleep 1000"
    networks: {{front: {{aliases: [database]}}}}
    stop_grace_period: 1s
networks: {{front: }}
volumes: {{data: }}
"""


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Any]:
    made = docker.DockerClient(base_url=f"unix://{cluster.machine.docker_socket}", timeout=120)
    yield made
    made.close()


def test_the_sdk_runs_containers(client: Any) -> None:
    assert client.containers.run(IMAGE, ["echo", "once"], remove=True) == b"once\n"
    held = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, name="sdk-held", environment={"A": "b"})
    try:
        assert held.exec_run(["sh", "-c", "echo $A"]).output == b"b\n"
        held.reload()
        assert held.status == "running"
        assert [each.id for each in client.containers.list(filters={"name": "sdk-held"})] == [held.id]
        held.stop(timeout=1)
        held.reload()
        assert held.status == "exited"
    finally:
        held.remove(force=True)
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("sdk-held")
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run(IMAGE, ["sh", "-c", "exit 3"], remove=True)
    assert failed.value.exit_status == 3


@pytest.mark.skipif(not COMPOSE, reason="make clients installs docker-compose")
def test_docker_compose_brings_a_project_up_and_down(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(FILE)

    def compose(*words: str) -> str:
        environment = {**os.environ, "DOCKER_HOST": f"unix://{cluster.machine.docker_socket}"}
        command = [COMPOSE, "-p", "shop", *words]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def answers() -> bool:
        try:
            return cluster.http(cluster.settings.address, 31999).strip() == "hello"
        except OSError:
            return False

    try:
        compose("up", "-d")
        assert "31999" in compose("port", "web", "80")
        until(answers)
        assert "db is up" in compose("logs", "--no-color", "db")
        found = compose("exec", "-T", "web", "sh", "-c", "nslookup database; nslookup db; true")
        assert found.count("Address: 10.") == 2
        assert "shop_db_1" in compose("ps")
        compose("stop", "db")
        compose("start", "db")
    finally:
        compose("down", "-v")
    assert compose("ps", "-q").strip() == ""
