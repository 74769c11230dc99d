"""Ansible's modules for Swarm, unmodified: a play that describes a whole swarm, and changes nothing when it is run again."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialects.docker.transcript import clients
from e2e.cluster import IMAGE, Cluster, until

PYTHON = os.environ.get("ANSIBLE_PYTHON", "")
PLAY = Path(__file__).with_name("swarm.yaml")
pytestmark = pytest.mark.skipif(not PYTHON, reason="make clients installs Ansible")


class Swarm:
    """The cluster as Ansible reaches it."""

    def __init__(self, cluster: Cluster) -> None:
        found = clients()
        self.docker = str(found.get("new") or found["old"])
        self.host = f"unix://{cluster.machine.docker_socket}"

    def play(self, *words: str) -> dict[str, int]:
        """Run the play to its end: how many tasks were `ok`, `changed`, `failed`."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "DOCKER_HOST": self.host,
            "DOCKER_CLI": self.docker,
            "IMAGE": IMAGE,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        }
        command = [
            PYTHON,
            "-m",
            "ansible.cli.playbook",
            "-i",
            "localhost,",
            "-e",
            f"ansible_python_interpreter={PYTHON}",
        ]
        done = subprocess.run(
            [*command, *words, str(PLAY)], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", done.stdout.rpartition("PLAY RECAP")[2])}

    def settled(self) -> bool:
        """Whether every service has the tasks it is to have."""
        command = [self.docker, "-H", self.host, "service", "ls", "--format", "{{.Replicas}}"]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
        counts = [line.split()[0].split("/") for line in listed]
        return bool(counts) and all(has == wanted for has, wanted in counts)


@pytest.fixture(scope="module")
def swarm(cluster: Cluster) -> Iterator[Swarm]:
    made = Swarm(cluster)
    yield made
    made.play("--tags", "absent")


def test_a_play_describes_a_swarm_and_changes_nothing_the_second_time(swarm: Swarm) -> None:
    first = swarm.play("--tags", "present")
    assert first["changed"] == 7
    until(swarm.settled, timeout=120, what="the services run")
    assert swarm.play("--tags", "present,facts")["changed"] == 0


def test_what_is_described_otherwise_changes_and_then_no_more(swarm: Swarm) -> None:
    changes = ("--tags", "present", "-e", "greeting=goodbye", "-e", "replicas=1")
    assert swarm.play(*changes)["changed"] >= 1
    assert swarm.play(*changes)["changed"] == 0
