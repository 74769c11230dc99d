"""The Docker API at the manager's door reaches containers on every node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.testbed.world import World

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker command here")


def docker(world: World, *words: str) -> str:
    environment = {**os.environ, "DOCKER_HOST": world.testbed.docker_host(), "DOCKER_CLI_HINTS": "false"}
    done = subprocess.run(["docker", *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


def test_a_container_of_another_node_is_at_hand(world: World, tmp_path: Path) -> None:
    # The pods are not made by docker, and named by themselves.
    assert "web-n2" not in docker(world, "ps", "--format", "{{.Names}}").split()
    assert "web-n2" in docker(world, "ps", "--filter", "node=n2", "--format", "{{.Names}}").split()
    assert {"web-n1", "web-n2", "web-n3"} <= set(
        docker(world, "ps", "--filter", "node=*", "--format", "{{.Names}}").split()
    )
    identifier = docker(world, "ps", "--quiet", "--filter", "node=*", "--filter", "name=web-n2")
    assert docker(world, "exec", identifier, "hostname") == "web-n2"
    (tmp_path / "word").write_text("carried")
    docker(world, "cp", str(tmp_path / "word"), f"{identifier}:/tmp/word")
    assert docker(world, "exec", identifier, "cat", "/tmp/word") == "carried"
    assert "httpd" in docker(world, "top", identifier)
    assert docker(world, "inspect", "--format", "{{.Node.Name}}", identifier) == "n2"
    assert docker(world, "stats", "--no-stream", "--format", "{{.Name}}", identifier) == "web-n2"
