"""Three nodes with a web server of six pods, to be broken one way after another, and what has to hold after each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.parse
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tests.testbed.load import Load, load

from motet.base.errors import ApiError
from motet.kinds import deployment, node, pod, service
from motet.machine import lifecycle
from motet.runtime import mounts
from motet.runtime.cri import CriRuntime
from motet.runtime.interface import RuntimeFailure
from motet.testbed.box import Box
from motet.testbed.cluster import Testbed
from motet.testbed.plan import TestbedError
from support.images import busybox_image

Json = dict[str, Any]
T = TypeVar("T")

IMAGE = "localhost/motet-test/busybox:1"
NODES = ("n1", "n2", "n3")
PORT = 30080
REPLICAS = 6
# What the cluster of these tests is begun with: how long a node may be silent, and how long pods wait for one that is.
GRACE = 8.0
PATIENCE = 14
_SERVE = "#!/bin/sh\nmkdir -p /tmp/www; echo $HOSTNAME > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www\n"


def until(holds: Callable[[], T], seconds: float = 60.0, what: str = "") -> T:
    """What `holds()` returns once that is true. An API or a containerd that is away, or an AssertionError, is not yet."""
    deadline = time.monotonic() + seconds
    why: object = what
    while True:
        try:
            if result := holds():
                return result
        except (ApiError, RuntimeFailure, TestbedError, AssertionError) as error:
            why = error
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {why}"
        time.sleep(0.1)


class Bed:
    """The testbed and its users."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed

    # -- its life --------------------------------------------------------------------------------------------------

    def disk(self, path: str, megabytes: int) -> None:
        """Give a directory below `nodes/` a small disk of its own, before there is anything in it."""
        where = self.testbed.directory / "nodes" / path
        where.mkdir(parents=True, mode=0o700)
        mounts.mount("tmpfs", where, "tmpfs", f"size={megabytes}m,mode=0700")

    def prepare(self, archive: Path) -> None:
        busybox_image(archive, IMAGE, {"serve": _SERVE})
        asyncio.run(self.testbed.load_image(archive))
        self.create(deployment.KIND, web())
        spec = {
            "type": "NodePort",
            "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": 8080, "nodePort": PORT}],
        }
        self.create(service.KIND, {"metadata": {"name": "web"}, "spec": spec})
        self.whole()

    def box(self, name: str) -> Box:
        return self.testbed.box(name)

    def stop(self, name: str) -> None:
        """End Motet on a node; its containers run on."""
        lifecycle.stop(self.box(name).machine)

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start Motet on a node again."""
        before = dict(os.environ)
        os.environ.update(environment or {})
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                asyncio.run(self.testbed.start(name))
        finally:
            os.environ.clear()
            os.environ.update(before)

    def mend(self) -> None:
        """Undo whatever a test that failed has left."""
        for name in NODES:
            self.testbed.cut(name, cut=False)
            self.testbed.lose(name, 0)
            if not lifecycle.running(self.box(name).machine):
                self.start(name)

    def motet(self, *words: str, check: bool = True) -> str:
        """What a verb prints on the manager's machine."""
        box = self.box("n1")
        command = box.inside([sys.executable, "-m", "motet", *words, "--data-dir", str(box.machine.data_dir)])
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def kubectl(self, *words: str, check: bool = True) -> str:
        program = Path(sys.executable).with_name("kubectl")
        config = self.testbed.directory / "kubeconfig"
        if not config.exists():
            config.write_bytes(self.testbed.kubeconfig())
        done = subprocess.run(
            [str(program), f"--kubeconfig={config}", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    # -- the API ---------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Json:
        """As the administrator. Raises ApiError."""

        async def ask() -> bytes:
            async with self.testbed.client() as client:
                return await asyncio.wait_for(client.request(method, path, body, content_type=content_type), 10)

        try:
            return msgspec.json.decode(asyncio.run(ask()), type=dict)
        except TimeoutError as error:
            raise AssertionError("the API does not answer") from error

    def create(self, kind: Any, document: Json) -> Json:
        return self.request("POST", kind.path("default" if kind.namespaced else ""), document)

    def get(self, kind: Any, name: str) -> Json:
        return self.request("GET", kind.path("default" if kind.namespaced else "", name))

    def pods(self, app: str = "web") -> list[Json]:
        query = urllib.parse.urlencode({"labelSelector": f"app={app}"})
        return list(self.request("GET", f"{pod.KIND.path('default')}?{query}")["items"])

    def condition(self, name: str, kind: str) -> Json:
        """One condition of a node; empty when it was never written."""
        found = self.get(node.KIND, name)["status"].get("conditions", ())
        return next((each for each in found if each["type"] == kind), {})

    def ready(self, name: str) -> bool:
        return self.condition(name, "Ready").get("status") == "True"

    # -- what has to hold ------------------------------------------------------------------------------------------

    def whole(self, seconds: float = 60.0) -> None:
        """Return when nothing is missing: nodes that are ready, six pods that serve, each of them once, and no other."""
        until(lambda: all(self.ready(name) for name in NODES), seconds, "not every node is ready")
        until(self._pods_are_whole, seconds, "the pods are not as they should be")

    def _pods_are_whole(self) -> bool:
        pods = self.pods()
        assert len(pods) == REPLICAS, [each["metadata"]["name"] for each in pods]
        assert all(is_ready(each) for each in pods), "not all are ready"
        wanted = {each["metadata"]["uid"] for each in pods}
        counted = Counter(uid for name in NODES for uid in self.running(name, "web"))
        assert counted == dict.fromkeys(wanted, 1), f"what really runs: {counted}"
        return True

    def running(self, name: str, app: str) -> list[str]:
        """uids of the pods whose containers really run on a node, by its containerd."""

        async def ask() -> list[str]:
            runtime = CriRuntime(self.box(name).machine.containerd_socket)
            try:
                sandboxes = {
                    box.id: box.labels.get("io.kubernetes.pod.uid", "")
                    for box in await runtime.sandboxes()
                    if box.ready
                }
                made = await runtime.containers()
                return [
                    sandboxes[each.sandbox_id]
                    for each in made
                    if each.state == "running" and each.name == app and each.sandbox_id in sandboxes
                ]
            finally:
                await runtime.close()

        return asyncio.run(ask())

    def inside(self, name: str, pod_uid: str, script: str) -> str:
        """What a script in a pod of a node prints, without any help of the manager."""

        async def ask() -> str:
            runtime = CriRuntime(self.box(name).machine.containerd_socket)
            try:
                boxes = {
                    each.id for each in await runtime.sandboxes() if each.labels.get("io.kubernetes.pod.uid") == pod_uid
                }
                made = [
                    each.id
                    for each in await runtime.containers()
                    if each.sandbox_id in boxes and each.state == "running"
                ]
                assert made, f"nothing of pod {pod_uid} runs on {name}"
                return (await runtime.exec_sync(made[0], ("sh", "-c", script), 20)).stdout.decode()
            finally:
                await runtime.close()

        return asyncio.run(ask())

    @contextlib.contextmanager
    def load(self, *names: str, each: int = 2, timeout: float = 5.0) -> Iterator[Load]:
        """Clients of the published port at these nodes (all by default)."""
        hosts = [self.testbed.address(name) for name in names or NODES]
        with load(hosts, PORT, each, timeout) as made:
            until(lambda: made.answers > 10, 20, "nobody is served to begin with")
            yield made


def web() -> Json:
    tolerations = [
        {
            "key": f"node.kubernetes.io/{what}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": PATIENCE,
        }
        for what in ("unreachable", "not-ready")
    ]
    container = {
        "name": "web",
        "image": IMAGE,
        "command": ["/serve"],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "1"]}}},
    }
    spec = {"containers": [container], "tolerations": tolerations, "terminationGracePeriodSeconds": 2}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    selector = {"matchLabels": {"app": "web"}}
    return {"metadata": {"name": "web"}, "spec": {"replicas": REPLICAS, "selector": selector, "template": template}}


def plain(name: str, on: str, **fields: Any) -> Json:
    """A pod that does nothing, on a node."""
    container = {"name": name, "image": IMAGE, "command": ["pause"]}
    spec = {"nodeName": on, "containers": [container], "terminationGracePeriodSeconds": 1, **fields}
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def is_ready(found: Json) -> bool:
    conditions = found["status"].get("conditions", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in found["metadata"]


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread
