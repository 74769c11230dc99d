"""`docker run` and all that goes with it, by the real command line on a real node."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import IMAGE, PATIENCE, Cluster, until

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker command here")


class Docker:
    """The command line, and a name of this test's own for containers: `docker.name`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.name = f"c-{uuid.uuid4().hex[:8]}"
        self.environment = {"DOCKER_HOST": f"unix://{cluster.machine.docker_socket}", "DOCKER_CLI_HINTS": "false"}

    def run(self, *words: str, stdin: str | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self._cluster.run("docker", *words, stdin=stdin, check=False, env=self.environment)
        assert done.returncode == code, f"docker {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def __call__(self, *words: str, stdin: str | None = None, code: int = 0) -> str:
        """What it prints."""
        return self.run(*words, stdin=stdin, code=code).stdout.strip()

    def start(self, *words: str, options: tuple[str, ...] = ()) -> str:
        """A container that runs beside; its identifier."""
        return self("run", "--detach", "--name", self.name, *options, IMAGE, *words)

    def state(self, shown: str = "{{.State.Status}} {{.State.ExitCode}}") -> str:
        return self("inspect", "--format", shown, self.name)

    def typed(self, *words: str, keys: dict[bytes, bytes]) -> tuple[bytes, int]:
        """(output, exit code) at a terminal where, once a text was shown, some keys are pressed."""
        pid, terminal = pty.fork()
        if pid == 0:
            command = self._cluster.command("docker", *words)
            os.execvpe(command[0], command, self._cluster.environment(self.environment))
        shown, waiting, deadline = b"", dict(keys), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    piece = os.read(terminal, 65536)
                except OSError:
                    break
                shown += piece
            for text in [text for text in waiting if text in shown]:
                os.write(terminal, waiting.pop(text))
        else:
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def docker(cluster: Cluster) -> Iterator[Docker]:
    made = Docker(cluster)
    yield made
    for found in made("ps", "--all", "--quiet", "--filter", "is-task=false", "--filter", f"name={made.name}").split():
        made("rm", "--force", found)


def test_a_run_shows_everything_and_ends_as_its_command_does(docker: Docker) -> None:
    done = docker.run("run", "--rm", "--name", docker.name, IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3", code=3)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    until(lambda: docker("ps", "--all", "--quiet", "--filter", f"name={docker.name}") == "")


def test_a_command_that_is_not_there_is_none(docker: Docker) -> None:
    assert "executable file not found" in docker.run("run", "--name", docker.name, IMAGE, "nosuch", code=127).stderr
    assert docker.state() == "created 0"


def test_what_is_typed_goes_in(docker: Docker) -> None:
    assert (
        docker("run", "--rm", "--interactive", "--name", docker.name, IMAGE, "sh", "-c", "cat; echo end", stdin="a\n")
        == "a\nend"
    )


def test_a_shell_at_a_terminal(docker: Docker) -> None:
    keys = {b"# ": b"echo $((40+2))\n", b"42\r\n": b"exit 5\n"}
    shown, code = docker.typed("run", "--rm", "-it", "--name", docker.name, IMAGE, "sh", keys=keys)
    assert code == 5, shown


def test_a_container_that_runs_can_be_looked_into(docker: Docker, tmp_path: Path) -> None:
    identifier = docker.start(
        "sh", "-c", "echo $A; sleep 600", options=("--env", "A=said", "--memory", "64m", "--label", "a=b")
    )
    assert len(identifier) == 64
    line = docker(
        "ps", "--no-trunc", "--filter", "label=a=b", "--filter", f"name={docker.name}", "--format", "{{.ID}} {{.Names}}"
    )
    assert line == f"{identifier} {docker.name}"
    assert (
        docker.run(
            "exec", "--env", "B=two", "--workdir", "/bin", docker.name, "sh", "-c", "pwd; echo $B; exit 4", code=4
        ).stdout
        == "/bin\ntwo\n"
    )
    assert docker("exec", "--interactive", docker.name, "cat", stdin="through") == "through"
    until(lambda: docker("logs", docker.name) == "said")
    assert docker("logs", "--timestamps", docker.name).endswith("Z said")
    assert "sleep 600" in docker("top", docker.name)
    stats = json.loads(docker("stats", "--no-stream", "--format", "json", identifier[:12]))
    assert (stats["Name"], stats["MemUsage"].split(" / ")[1]) == (docker.name, "64MiB")
    inspected = json.loads(docker("inspect", docker.name))[0]
    assert inspected["State"]["Running"]
    assert inspected["NetworkSettings"]["IPAddress"].startswith("10.42.")
    assert inspected["HostConfig"]["Memory"] == 64 << 20
    docker("update", "--memory", "96m", "--cpus", "0.5", docker.name)
    assert docker.state("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}") == f"{96 << 20} 500000000"


def test_files_go_in_and_out_and_no_link_leads_outside(docker: Docker, tmp_path: Path) -> None:
    docker.start("sleep", "600")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("from outside")
    docker("cp", str(tmp_path / "in"), f"{docker.name}:/tmp/there")
    docker("exec", docker.name, "ln", "-s", "/etc", "/tmp/there/link")
    assert docker("exec", docker.name, "cat", "/tmp/there/file") == "from outside"
    docker("cp", f"{docker.name}:/tmp/there", str(tmp_path / "out"))
    assert (tmp_path / "out" / "file").read_text() == "from outside"
    # The link means the container's own /etc.
    docker("cp", f"{docker.name}:/tmp/there/link/hostname", str(tmp_path / "hostname"))
    assert (tmp_path / "hostname").read_text().strip() == docker("exec", docker.name, "hostname")
    assert "Could not find the file" in docker.run("cp", f"{docker.name}:/nosuch", str(tmp_path), code=1).stderr


def test_a_container_that_was_stopped_can_be_started_again(docker: Docker) -> None:
    volume = f"{docker.name}-data"
    script = "trap 'exit 7' TERM; date +%N >> /data/runs; while :; do sleep 0.1; done"
    options = ("--restart", "always", "--volume", f"{volume}:/data", "--tmpfs", "/scratch:size=1m", "--read-only")
    docker.start("sh", "-c", script, options=options)
    until(lambda: docker("exec", docker.name, "cat", "/data/runs"))
    docker("stop", docker.name)
    assert docker.state() == "exited 7"
    docker("start", docker.name)
    assert docker.state("{{.State.Status}} {{.RestartCount}}") == "running 0"
    until(lambda: len(docker("exec", docker.name, "cat", "/data/runs").split()) == 2)
    docker("restart", "--timeout", "0", docker.name)
    docker("kill", docker.name)
    assert docker("wait", docker.name) == "137"
    assert docker.state() == "exited 137"
    docker("rename", docker.name, f"{docker.name}-2")
    docker("rm", f"{docker.name}-2")
    docker("volume", "rm", volume)


def test_containers_on_a_network_find_each_other(docker: Docker) -> None:
    network = f"{docker.name}-net"
    docker("network", "create", "--driver", "overlay", "--attachable", network)
    serve = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"
    docker.start("sh", "-c", serve, options=("--network", network, "--network-alias", "web", "--publish", "8080"))
    ask = f"until wget -q -O - http://{docker.name}:8080 && wget -q -O - http://web:8080; do sleep 0.1; done"
    both = docker(
        "run", "--rm", "--name", f"{docker.name}-asks", "--network", network, IMAGE, "timeout", "20", "sh", "-c", ask
    )
    assert both.splitlines()[-2:] == ["hello", "hello"]
    published = docker("port", docker.name, "8080/tcp")
    port = int(published.splitlines()[0].rpartition(":")[2])
    assert docker._cluster.http("192.0.2.10", port) == "hello\n"
    docker("rm", "--force", docker.name)
    until(lambda: docker.run("network", "rm", network).returncode == 0)
