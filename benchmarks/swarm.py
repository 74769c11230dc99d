"""Motet beside Docker's own swarm: the same `docker` with the same commands at both, in turns in one run.

    sudo python benchmarks/swarm.py [--rounds 3] [--replicas 50] [--quick] [--json] [--peer FOLDER] [--motet-only]

Each is one node on a machine of a testbed's kind: namespaces and control groups of its own. The peer is Debian's docker.io,
unpacked into FOLDER and not installed. Measured in each round, the one that begins changing from round to round:

    deploy           `docker stack deploy` of five services, until all of their tasks run
    scale            `docker service scale web=50` from 1, until all run
    restart          a task's process is killed, until its replacement runs; with Docker's delay of 5 s
    restart at once  the same with `delay: 0s`, the median of some
    remove           `docker stack rm` of all of it, until no process of a task is left and no task is told of

Whether tasks run is asked of /tasks, in the same way at both. Memory is that of everything but the tasks' own processes,
before the first stack and with 50 tasks: PSS, which counts what processes share once, and RSS, which counts it each time.
CPU is what the whole machine took from the command on, tasks included.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from drivers import dockerd

from motet.runtime.cgroups import Cgroups
from motet.testbed.box import Box
from motet.testbed.cluster import Testbed

IMAGE = "localhost/motet-bench/busybox:1"
_SERVICES = ("web", "api", "worker", "cache", "db")
# The one whose tasks are restarted at once.
_PROMPT = "worker"
_MARK = "BENCH_SERVICE"
_API = "/v1.41"
_LOOK_EVERY = 0.1
_LONGEST = 240.0
_SETTLED = 5.0
_PROMPT_TRIES = 3

Figures = dict[str, float]


def stack() -> dict[str, Any]:
    """The compose file; JSON is YAML."""
    services: dict[str, Any] = {}
    for name in _SERVICES:
        services[name] = {"image": IMAGE, "command": ["/bin/pause"], "environment": {_MARK: name}}
    services[_PROMPT]["deploy"] = {"restart_policy": {"delay": "0s"}}
    return {"version": "3.8", "services": services}


class _Connection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("docker")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Side:
    """One of the two: where its Docker API is, and the machine that all of its processes are on."""

    def __init__(self, name: str, docker: str, endpoint: Path, box: Box) -> None:
        self.name = name
        self._docker, self._endpoint, self._box = docker, endpoint, box
        self._cgroups = Cgroups()
        # Whoever is in one hierarchy is in all of them.
        self._group = self._cgroups.homes(box.machine.cgroup_root)[0]
        self._api = _Connection(endpoint)

    async def docker(self, *arguments: str) -> None:
        """Run the command line. Raises SystemExit with its words when it fails."""
        process = await asyncio.create_subprocess_exec(
            self._docker,
            f"--host=unix://{self._endpoint}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise SystemExit(f"{self.name}: docker {' '.join(arguments)}: {output.decode(errors='replace').strip()}")

    def tasks(self, stack_name: str) -> list[dict[str, Any]]:
        """All tasks of a stack, as the API tells."""
        filters = urllib.parse.quote(json.dumps({"label": [f"com.docker.stack.namespace={stack_name}"]}))
        self._api.request("GET", f"{_API}/tasks?filters={filters}")
        response = self._api.getresponse()
        answer = response.read()
        if response.status != 200:
            raise SystemExit(f"{self.name}: /tasks: {answer.decode(errors='replace')}")
        found: list[dict[str, Any]] = json.loads(answer)
        return found

    def running(self, stack_name: str) -> set[str]:
        """Identifiers of tasks that run and shall."""
        return {
            task["ID"]
            for task in self.tasks(stack_name)
            if task["Status"]["State"] == "running" and task["DesiredState"] == "running"
        }

    def processes(self) -> Iterator[tuple[int, str]]:
        """(pid, service) of every process; the service is empty for those that are no task's."""
        mark = f"{_MARK}=".encode()
        for group, _, _ in os.walk(self._group):
            with contextlib.suppress(OSError):
                for pid in map(int, Path(group, "cgroup.procs").read_text().split()):
                    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                    yield pid, next((each[len(mark) :].decode() for each in variables if each.startswith(mark)), "")

    def memory(self) -> tuple[float, float]:
        """(PSS, RSS) in MB of everything but the tasks themselves."""
        total = {"Pss": 0, "Rss": 0}
        for pid, service in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                    key, value = line.split(":")
                    if not service and key in total:
                        total[key] += int(value.split()[0])
        return total["Pss"] * 1024 / 1e6, total["Rss"] * 1024 / 1e6

    def breakdown(self) -> dict[str, list[float]]:
        """[processes, MB of PSS] by program."""
        found: dict[str, list[float]] = {}
        for pid, service in self.processes():
            with contextlib.suppress(OSError, StopIteration):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                name = Path(words[0]).name
                if name.startswith("python"):
                    name = " ".join(words[2:4])
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                pss = int(next(line for line in lines if line.startswith("Pss:")).split()[1])
                entry = found.setdefault(f"task {service}" if service else name, [0, 0.0])
                entry[0] += 1
                entry[1] += round(pss * 1024 / 1e6, 2)
        return found

    def cpu(self) -> float:
        """Seconds of processor time of the whole machine so far."""
        consumed = self._cgroups.consumed(self._box.machine.cgroup_root)
        return (consumed or (0, 0))[0] / 1e9

    async def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _LONGEST
        while not holds():
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.name}: {what} did not come about within {_LONGEST:.0f} s")
            await asyncio.sleep(_LOOK_EVERY)


class Round:
    """The measures of one round at one side, to be taken in this order."""

    def __init__(self, side: Side, stack_file: Path, name: str, replicas: int) -> None:
        self.side, self.name = side, name
        self._file, self._replicas = stack_file, replicas
        self.figures: Figures = {}

    async def deploy(self) -> None:
        command = (
            "stack",
            "deploy",
            "--resolve-image=never",
            "--detach=true",
            f"--compose-file={self._file}",
            self.name,
        )
        await self._time("deploy", command, lambda: len(self.side.running(self.name)) == len(_SERVICES))

    async def scale(self) -> None:
        wanted = self._replicas + len(_SERVICES) - 1
        command = ("service", "scale", "--detach", f"{self.name}_web={self._replicas}")
        await self._time("scale", command, lambda: len(self.side.running(self.name)) == wanted)
        await asyncio.sleep(_SETTLED)
        self.figures["full_pss_mb"], self.figures["full_rss_mb"] = self.side.memory()

    async def restart(self) -> None:
        self.figures["restart_s"] = await self._kill("web")

    async def restart_at_once(self) -> None:
        self.figures["restart at once_s"] = statistics.median([await self._kill(_PROMPT) for _ in range(_PROMPT_TRIES)])

    async def remove(self) -> None:
        def gone() -> bool:
            return not any(service for _, service in self.side.processes()) and not self.side.tasks(self.name)

        await self._time("remove", ("stack", "rm", "--detach=true", self.name), gone)

    async def _kill(self, service: str) -> float:
        before = self.side.running(self.name)
        victim = next(pid for pid, of in self.side.processes() if of == service)
        began = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
        await self.side.until(
            f"a replacement in {service}",
            lambda: len(now := self.side.running(self.name)) == len(before) and bool(now - before),
        )
        return time.perf_counter() - began

    async def _time(self, what: str, command: tuple[str, ...], holds: Callable[[], bool]) -> None:
        used, began = self.side.cpu(), time.perf_counter()
        await self.side.docker(*command)
        await self.side.until(what, holds)
        self.figures[f"{what}_s"] = time.perf_counter() - began
        self.figures[f"{what}_cpu_s"] = self.side.cpu() - used


_MEASURES = (Round.deploy, Round.scale, Round.restart, Round.restart_at_once, Round.remove)


@contextlib.asynccontextmanager
async def motet(directory: Path, docker: str, image: Path) -> AsyncIterator[Side]:
    testbed = Testbed(directory)
    try:
        await testbed.up(1)
        await testbed.load_image(image)
        box = testbed.box(testbed.plan.manager.name)
        yield Side("motet", docker, box.machine.docker_socket, box)
    finally:
        await testbed.down()


@contextlib.asynccontextmanager
async def swarm(directory: Path, docker: str, image: Path, tree: Path) -> AsyncIterator[Side]:
    peer = dockerd.Dockerd(directory, tree)
    try:
        peer.up(docker)
        peer.docker(docker, "load", f"--input={image}")
        yield Side("swarm", docker, peer.socket, peer.box)
    finally:
        await peer.down()


async def measure(options: argparse.Namespace, docker: str, tree: Path | None, directory: Path) -> dict[str, Figures]:
    """Medians of the rounds by side."""
    # The tests' smallest image.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from support.images import docker_archive

    image = docker_archive(directory / "image.tar", IMAGE)
    stack_file = directory / "stack.json"
    stack_file.write_text(json.dumps(stack()))
    async with contextlib.AsyncExitStack() as standing:
        sides = [await standing.enter_async_context(motet(directory / "bed", docker, image))]
        if tree is not None:
            sides.append(await standing.enter_async_context(swarm(directory / "peer", docker, image, tree)))
        await asyncio.sleep(2 * _SETTLED)
        found: dict[str, list[Figures]] = {}
        idle = {side.name: dict(zip(("idle_pss_mb", "idle_rss_mb"), side.memory(), strict=True)) for side in sides}
        if options.breakdown:
            print({side.name: side.breakdown() for side in sides}, file=sys.stderr, flush=True)
        for number in range(options.rounds):
            rounds = [Round(side, stack_file, f"bench{number}", options.replicas) for side in sides]
            for take in _MEASURES:
                for each in rounds if number % 2 == 0 else reversed(rounds):
                    await take(each)
                    if options.breakdown and take is Round.scale:
                        print(each.side.name, each.side.breakdown(), file=sys.stderr, flush=True)
            for each in rounds:
                found.setdefault(each.side.name, []).append(each.figures)
    return {
        name: {**idle[name], **{key: statistics.median(each[key] for each in taken) for key in taken[0]}}
        for name, taken in found.items()
    }


def show(found: dict[str, Figures]) -> None:
    """A line for each figure; the ratio is what the peer takes over what Motet takes."""
    ours, theirs = found["motet"], found.get("swarm", {})
    print(f"{'':22} {'Motet':>9} {'swarm':>9} {'ratio':>7}")
    for key in ours:
        what, _, unit = key.rpartition("_")
        line = f"{what.replace('_', ' ') + ', ' + unit:22} {ours[key]:9.2f}"
        if theirs:
            line += f" {theirs[key]:9.2f} {theirs[key] / ours[key] if ours[key] else 0:7.2f}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--motet-only", action="store_true", help="without the peer")
    parser.add_argument("--breakdown", action="store_true", help="tell on stderr which programs have the memory")
    parser.add_argument(
        "--peer", type=Path, default=Path(".cache/dockerd"), metavar="FOLDER", help="where the peer is unpacked"
    )
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    if os.geteuid() != 0:
        sys.exit("this needs root")
    try:
        tree = None if options.motet_only else dockerd.unpack(options.peer.resolve())
        docker = shutil.which("docker") or (str(tree / "usr/bin/docker") if tree else "")
        if not docker:
            raise dockerd.Absent("there is no docker command line")
        with tempfile.TemporaryDirectory(prefix="motet-bench-", dir="/var/tmp") as directory:
            found = asyncio.run(measure(options, docker, tree, Path(directory)))
    except dockerd.Absent as absent:
        print(f"not measured: {absent}")
        return
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
