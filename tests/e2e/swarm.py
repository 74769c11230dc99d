"""A testbed that is driven with the docker command line, as somebody who comes from Swarm would."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.testbed.load import fetch

from dialects.docker.transcript import clients
from motet.machine import lifecycle
from motet.testbed.cluster import Testbed
from support.images import busybox_image

Json = dict[str, Any]
T = TypeVar("T")

IMAGE = "localhost/motet-test/swarm:1"
NODES = ("n1", "n2", "n3")
# What a node may be silent for, in seconds.
GRACE = 6.0
# Says which version it is and where it runs, and ends as soon as it is told to. With LOUD=vv it logs who asks.
_SERVE = """#!/bin/sh
mkdir -p /tmp/www; echo "$VERSION $HOSTNAME" > /tmp/www/index.html
trap 'kill $!; exit 0' TERM
httpd -f$LOUD -p 8080 -h /tmp/www & wait
"""
HEALTHY = (
    *("--health-cmd", "wget -q -O /dev/null http://127.0.0.1:8080/", "--health-interval", "1s"),
    *("--health-start-period", "5s", "--stop-grace-period", "5s"),
)


class Said(str):
    """What a command printed, both streams, with its exit code."""

    code: int

    def __new__(cls, text: str, code: int) -> Said:
        made = super().__new__(cls, text)
        made.code = code
        return made


class Swarm:
    """The testbed and a docker command line that talks to its manager."""

    def __init__(self, testbed: Testbed, directory: Path) -> None:
        self.testbed = testbed
        self.directory = directory
        found = clients()
        self.client = found.get("new") or found["old"]
        self.is_new = "new" in found

    def prepare(self) -> None:
        archive = self.directory / "image.tar"
        busybox_image(archive, IMAGE, {"serve": _SERVE})
        asyncio.run(self.testbed.load_image(archive))

    def docker(self, *words: str, code: int | None = 0, text: str = "") -> Said:
        """What `docker WORDS` prints. `code` is how it must end; None for however it does. `text` is its input."""
        done = self._run([str(self.client), *words], text)
        said = Said(done.stdout + done.stderr, done.returncode)
        assert code is None or said.code == code, f"docker {' '.join(words)}: exit {said.code}\n{said}"
        return said

    def _run(self, command: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "DOCKER_HOST": self.testbed.docker_host(),
            "DOCKER_CLI_HINTS": "false",
        }
        return subprocess.run(
            command,
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            cwd=self.directory,
        )

    def motet(self, *words: str) -> int:
        """The exit code of `motet WORDS` on the manager's machine."""
        box = self.testbed.box("n1")
        command = box.inside([sys.executable, "-m", "motet", *words, "--data-dir", str(box.machine.data_dir)])
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=150, check=False)
        return done.returncode

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start `docker WORDS` and go on."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "DOCKER_HOST": self.testbed.docker_host(),
        }
        return subprocess.Popen(
            [str(self.client), *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def deploy(self, compose: str, stack: str, *words: str) -> Said:
        """`docker stack deploy` of a Compose file, waiting for the end where the client can."""
        waits = ("--detach=false",) if self.is_new else ()
        return self.docker("stack", "deploy", *waits, *words, "-c", "-", stack, text=compose)

    def service(self, name: str) -> Json:
        found = json.loads(self.docker("service", "inspect", name))
        return dict(found[0])

    def update_state(self, name: str) -> str:
        return str((self.service(name).get("UpdateStatus") or {}).get("State", ""))

    def tasks(self, name: str) -> list[Json]:
        """Those that shall run, as `docker service ps` has them: `ID`, `Name`, `Node`, `CurrentState`, `Error` ..."""
        lines = self.docker("service", "ps", "--no-trunc", "--format", "json" if self.is_new else "{{json .}}", name)
        found = [json.loads(line) for line in lines.splitlines()]
        return [task for task in found if task["DesiredState"] in ("Running", "Ready")]

    def container(self, task: Json) -> str:
        """The name of a task's container, to `docker exec` and the like; they reach those of every node."""
        return f"{task['Name']}.{task['ID']}"

    def inside(self, task: Json, script: str) -> str:
        """What a script prints that runs in a task's container, whatever its end."""
        return str(self.docker("exec", self.container(task), "sh", "-c", script, code=None)).strip()

    def facts(self, *tasks: Json) -> list[Json]:
        """Tasks as the API has them."""
        return list(json.loads(self.docker("inspect", "--type", "task", *(task["ID"] for task in tasks))))

    def history(self, name: str) -> list[Json]:
        """All tasks there were, as the API has them, in the order they were made."""
        found = self.docker("service", "ps", "--no-trunc", "--quiet", name).split()
        return sorted(self.facts(*({"ID": each} for each in found)), key=lambda task: str(task["CreatedAt"]))

    def nodes(self, name: str) -> list[str]:
        """Where the tasks are that run, sorted."""
        return sorted(task["Node"] for task in self.tasks(name) if task["CurrentState"].startswith("Running"))

    def settled(self) -> bool:
        """All services have the tasks they want."""
        found = self.docker("service", "ls", "--format", "{{.Replicas}}").splitlines()
        counts = [line.split(" ")[0].split("/") for line in found]
        return all(runs == wanted for runs, wanted in counts)

    def replicas(self, name: str) -> str:
        """`2/2`, as `docker service ls` has it."""
        return (
            self.docker("service", "ls", "--filter", f"name={name}", "--format", "{{.Replicas}}").split(" ")[0].strip()
        )

    def versions(self, port: int) -> set[str]:
        """Which versions answer at every node's port, asked five times each."""
        hosts = [self.testbed.address(name) for name in NODES if self.testbed.box(name).pid]
        return {fetch(host, port).split()[0] for host in hosts for _ in range(5)}

    def logs(self, name: str) -> list[str]:
        return sorted(line for line in self.docker("service", "logs", "--raw", name).splitlines() if line)

    def manager_process(self) -> int:
        """Of the API and the controllers, on the manager's machine."""
        daemon = lifecycle.running(self.testbed.box("n1").machine)
        for child in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split():
            if b"server" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return int(child)
        raise AssertionError("no manager runs")


class Stage:
    """What one test makes, which is removed after it."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._made: list[tuple[str, str]] = []

    def service(self, name: str, *words: str) -> str:
        """Begin a service: `words` are options, then the command in it. Answers its name."""
        self._made.append(("service", name))
        self._swarm.docker("service", "create", "--detach", "--no-resolve-image", "--name", name, *words)
        return name

    def network(self, name: str, *words: str) -> str:
        self._made.append(("network", name))
        self._swarm.docker("network", "create", "--driver", "overlay", *words, name)
        return name

    def content(self, kind: str, name: str, text: str) -> str:
        """A `secret` or a `config`."""
        self._made.append((kind, name))
        self._swarm.docker(kind, "create", name, "-", text=text)
        return name

    def clear(self) -> None:
        for kind, name in reversed(self._made):
            # A network is there until the last of its tasks has gone.
            until(lambda kind=kind, name=name: self._removed(kind, name))

    def _removed(self, kind: str, name: str) -> bool:
        said = self._swarm.docker(kind, "rm", name, code=None)
        return said.code == 0 or "not found" in said.lower() or "no such" in said.lower()


def until(holds: Callable[[], T], seconds: float = 90.0) -> T:
    """What `holds()` returns once that is true; an AssertionError or OSError is not yet."""
    deadline = time.monotonic() + seconds
    while True:
        why: object = "it never came to pass"
        try:
            if result := holds():
                return result
        except (AssertionError, OSError) as error:
            why = error
        assert time.monotonic() < deadline, why
        time.sleep(0.2)
