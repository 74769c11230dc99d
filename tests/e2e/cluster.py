"""A whole Motet in a network namespace of its own, and its users: kubectl, the command line, HTTP clients.

Everything it makes carries its name, so that whatever is left of it can be found, be it by the same session at its end
or by a later one when this one was killed (`leftovers`).
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from motet.machine.layout import Machine, Settings
from support.images import busybox_image

Json = dict[str, Any]
T = TypeVar("T")

IMAGE = "localhost/motet-test/busybox:1"
ADDRESS = "192.0.2.10"
PATIENCE = 40.0
_BIN = Path(sys.executable).parent
_CLONE_NEWNET = 0x40000000


def until(condition: Callable[[], T], timeout: float = PATIENCE, what: str = "", every: float = 0.05) -> T:
    """What `condition()` returns once that is true. An AssertionError in it counts as not yet, and explains at the end."""
    deadline = time.monotonic() + timeout
    why: object = what
    while True:
        try:
            if result := condition():
                return result
        except AssertionError as error:
            why = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {why}")
        time.sleep(every)


@dataclass
class Cluster:
    """One node with manager, agent and containerd. `name` names the namespace, `directory` holds all data."""

    name: str
    directory: Path
    _connections: threading.local = field(default_factory=threading.local)

    @property
    def machine(self) -> Machine:
        return Machine(self.directory)

    @property
    def settings(self) -> Settings:
        settings = self.machine.settings()
        assert settings is not None
        return settings

    @property
    def netns(self) -> Path:
        return Path("/run/netns") / self.name

    # -- its life --------------------------------------------------------------------------------------------------

    def make_network(self) -> None:
        """A namespace with one "uplink" that leads nowhere: nothing outside can be reached, and everything says so at once."""
        ip = ("ip", "-n", self.name)
        _do("ip", "netns", "add", self.name)
        _do(*ip, "link", "set", "lo", "up")
        _do(*ip, "link", "add", "up0", "type", "bridge")
        _do(*ip, "addr", "add", f"{ADDRESS}/24", "dev", "up0")
        _do(*ip, "link", "set", "up0", "up")
        _do(*ip, "route", "add", "default", "via", "192.0.2.1")

    def start(self) -> None:
        """Return when the node takes pods."""
        self._lifecycle("asyncio.run(lifecycle.ensure(machine, print))")

    def stop(self) -> None:
        """End the daemon, the manager and the agent; containers run on."""
        self.motet("stop")

    def remove(self, *, keep_data: bool = False) -> None:
        self._lifecycle(f"asyncio.run(lifecycle.remove(machine, keep_data={keep_data}))")

    def _lifecycle(self, call: str) -> None:
        program = (
            "import asyncio, sys; from pathlib import Path; from motet.machine import lifecycle;"
            f"from motet.machine.layout import Machine; machine = Machine(Path(sys.argv[1])); {call}"
        )
        self.run(sys.executable, "-c", program, str(self.directory), timeout=120)

    def import_busybox(self) -> None:
        archive = busybox_image(self.directory.with_suffix(".busybox.tar"), IMAGE)
        self.motet("image", "import", str(archive))
        archive.unlink()

    # -- its users -------------------------------------------------------------------------------------------------

    def command(self, *words: str) -> list[str]:
        """`words` inside the namespace."""
        return ["nsenter", f"--net={self.netns}", *words]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MOTET_", "KUBE", "GUESTBOOK_"))}
        own = {"MOTET_DATA_DIR": str(self.directory), "KUBECONFIG": str(self.machine.kubeconfig)}
        return {**kept, "PATH": f"{_BIN}:{kept['PATH']}", **own, **(extra or {})}

    def run(
        self,
        *words: str,
        stdin: str | None = None,
        check: bool = True,
        timeout: float = PATIENCE,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        outside: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; an exit code other than 0 fails the test unless `check` is false.

        `outside` runs it in the machine's own network, which can reach package registries.
        """
        done = subprocess.run(
            list(words) if outside else self.command(*words),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment(env),
            cwd=cwd,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = PATIENCE) -> str:
        """What kubectl prints; it must succeed."""
        return self.run("kubectl", *words, stdin=stdin, timeout=timeout).stdout

    def kubectl_fails(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        done = self.run("kubectl", *words, stdin=stdin, check=False)
        assert done.returncode != 0, done.stdout
        return done

    def motet(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("motet", *words, **options)

    def apply(self, *documents: Json | str, namespace: str = "default") -> None:
        """Documents, or YAML text, through `kubectl apply`."""
        text = "\n---\n".join(item if isinstance(item, str) else yaml.safe_dump(item) for item in documents)
        self.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)

    # -- the API, quickly ------------------------------------------------------------------------------------------

    def inside(self, work: Callable[[], T]) -> T:
        """What `work()` returns in a thread inside the namespace; sockets it opens stay there."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                self.enter()
                results.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def enter(self) -> None:
        """Move the calling thread into the namespace, for good."""
        with open(self.netns) as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        """(status, answer) of one API request as the administrator."""
        pki = self.machine.pki
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

        def ask() -> tuple[int, bytes]:
            port = self.settings.port
            with contextlib.closing(
                http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
            ) as connection:
                headers = {"Content-Type": "application/json"}
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                return answer.status, answer.read()

        status, content = self.inside(ask)
        return status, json.loads(content)

    def read(self, path: str) -> Json:
        """A document or list. An API that is away and an object that is missing are an AssertionError."""
        try:
            status, answer = self.request("GET", path)
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"GET {path}: {error!r}") from error
        assert status == 200, f"GET {path}: {status} {answer.get('message')}"
        return answer

    # -- looking at it from outside --------------------------------------------------------------------------------

    def http(self, host: str, port: int, path: str = "/", timeout: float = 5.0, source: str = "") -> str:
        """The body of a GET from the node's own network. Raises OSError or HTTPException."""
        return self.inside(lambda: fetch(host, port, path, timeout, source))

    @contextlib.contextmanager
    def load(self, host: str, port: int, path: str = "/", clients: int = 2) -> Iterator[Load]:
        """Clients that ask again and again, with a new connection each time, until the block ends."""
        load = Load(self, host, port, path)
        # A rollout is over a moment before its last endpoint is in the node's rules; what counts begins after that.
        until(lambda: self._answers(host, port, path), what="no answer at all")
        threads = [threading.Thread(target=load.ask_on) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: load.answers > 5, what="no answers at all")
            yield load
        finally:
            load.ended.set()
            for thread in threads:
                thread.join()

    def _answers(self, host: str, port: int, path: str) -> bool:
        try:
            return self.http(host, port, path) is not None
        except (OSError, http.client.HTTPException):
            return False

    def daemon_pid(self) -> int:
        return int(self.machine.pid_file.read_text())

    def part_pids(self, part: str) -> list[int]:
        """Every process that is `daemon`, `server` or `agent`."""
        return [
            pid
            for pid, words in processes()
            if words[1:2] == ["-m"] and part in words[3:4] and str(self.directory) in words
        ]

    def part_pid(self, part: str) -> int:
        """The process of `server` or `agent`, 0 for none."""
        return next(iter(self.part_pids(part)), 0)

    def begin_anew(self, part: str) -> None:
        """End `server` or `agent` the hard way; return when there is another one, which reads its settings, and an API."""
        before = self.part_pid(part)
        os.kill(before, signal.SIGKILL)
        until(lambda: self.part_pid(part) not in (0, before), what=f"no new {part}")
        until(lambda: self.read("/api/v1/nodes"), what="the API does not answer")

    def containerd_pid(self) -> int:
        config = str(self.directory / "agent" / "containerd" / "config.toml")
        return next((pid for pid, words in processes() if config in words and "containerd" in words[0]), 0)

    def log(self, name: str) -> str:
        """What a part of Motet has logged."""
        return (self.machine.logs / f"{name}.log").read_text()


class Load:
    """A few clients of one address, and what they met."""

    def __init__(self, cluster: Cluster, host: str, port: int, path: str) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self.bodies: set[str] = set()
        self.ended = threading.Event()
        self._cluster, self._target = cluster, (host, port, path)

    def ask_on(self) -> None:
        self._cluster.enter()
        while not self.ended.wait(0.01):
            began = time.monotonic()
            try:
                body = fetch(*self._target)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{error!r} after {time.monotonic() - began:.2f} s")
            else:
                self.answers += 1
                self.bodies.add(body)

    def go_on(self, answers: int = 20) -> None:
        """Return after that many more answers or failures."""
        seen = self.answers + len(self.failures)
        until(lambda: self.answers + len(self.failures) >= seen + answers, what="the load has stopped")


def fetch(host: str, port: int, path: str, timeout: float = 5.0, source: str = "") -> str:
    bound = (source, 0) if source else None
    connection = http.client.HTTPConnection(host, port, timeout=timeout, source_address=bound)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise http.client.HTTPException(f"{answer.status} {body}")
        return body


def processes() -> Iterator[tuple[int, list[str]]]:
    """(pid, words of the command) of everything that runs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                yield int(entry.name), words


def start_time(pid: int) -> str:
    """When a process began (proc(5), field 22): with the pid it tells a process from any later one."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def children(pid: int) -> Sequence[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def resource_path(resource: str, name: str = "", namespace: str = "", query: Mapping[str, str] | None = None) -> str:
    """The API path of e.g. `pods`, `apps/v1/deployments`."""
    group, _, plural = resource.rpartition("/")
    base = f"/apis/{group}" if group else "/api/v1"
    middle = f"/namespaces/{namespace}" if namespace else ""
    tail = f"/{name}" if name else ""
    return f"{base}{middle}/{plural}{tail}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
