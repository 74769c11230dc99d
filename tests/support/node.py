"""A containerd of one's own for tests: own directories, cgroups and network namespace, all gone afterwards.

    node = LiveNode()            # in a module-scoped fixture
    asyncio.run(node.start())
    ...  runtime = node.connect()   # in each test: gRPC channels belong to an event loop
    asyncio.run(node.destroy())  # raises AssertionError when something is left

or `async with live_node() as node:` for all at once.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from motet.runtime import demolition, mounts
from motet.runtime.cgroups import Cgroups
from motet.runtime.containerd import Containerd
from motet.runtime.cri import CriRuntime
from motet.runtime.settings import ContainerdConfig
from support.images import busybox_image
from support.registry import registry

IMAGE = "localhost/motet-test/busybox:1"
_CLONE_NEWNET = 0x40000000
T = TypeVar("T")


class LiveNode:
    """A containerd in a network namespace, with a bridge network and the busybox image."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="motet-t-", dir="/tmp"))
        self.name = f"mt{uuid.uuid4().hex[:8]}"
        config = ContainerdConfig.below(self.directory / "data", self.directory / "run", cgroup_root=f"/{self.name}")
        # Not `ip netns exec`: it would hide /sys/fs/cgroup.
        self.config = replace(config, launcher=("nsenter", f"--net=/run/netns/{self.name}"))
        self.containerd = Containerd(self.config)
        self.logs = self.directory / "logs"

    @property
    def pods_cgroup(self) -> str:
        return f"{self.config.cgroup_root}/pods"

    async def start(self) -> None:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
        write_cni(self.config.cni_conf_dir, self.directory / "cni-data")
        await self.containerd.ensure()
        runtime = self.connect()
        try:
            await runtime.import_image(str(busybox_image(self.directory / "busybox.tar", IMAGE)))
        finally:
            await runtime.close()

    def connect(self) -> CriRuntime:
        """A client for the running event loop; close it in the same loop."""
        return CriRuntime(self.config.socket)

    async def destroy(self) -> None:
        await Containerd(self.config).destroy()
        subprocess.run(["ip", "netns", "delete", self.name], check=True)
        found = leaked(self.config)
        shutil.rmtree(self.directory)
        assert found == []

    def inside(self, run: Callable[[], T]) -> T:
        """What `run` returns or raises when called in the node's network namespace (its sockets stay there)."""
        results: list[T] = []
        errors: list[OSError] = []

        def enter() -> None:
            with open(f"/run/netns/{self.name}") as handle:
                if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            try:
                results.append(run())
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        for error in errors:
            raise error
        return results[0]

    @contextmanager
    def registry(self, archive: Path, credentials: tuple[str, str] | None = None) -> Iterator[str]:
        """A registry on the node's loopback with the image of `archive` as any repository, tag 1: its host and port."""
        with ExitStack() as stack:
            port = self.inside(lambda: stack.enter_context(registry(archive, credentials=credentials)))
            directory = self.config.registry_dir / f"127.0.0.1:{port}"
            directory.mkdir(parents=True)
            # Plain HTTP.
            hosts = f'[host."http://127.0.0.1:{port}"]\n  capabilities = ["pull", "resolve"]\n'
            (directory / "hosts.toml").write_text(hosts)
            yield f"127.0.0.1:{port}"

    def dial(self, host: str, port: int) -> socket.socket:
        return self.inside(lambda: socket.create_connection((host, port), timeout=5))


@asynccontextmanager
async def live_node() -> AsyncIterator[LiveNode]:
    node = LiveNode()
    try:
        await node.start()
        yield node
    finally:
        await node.destroy()


def write_cni(directory: Path, data_dir: Path, subnet: str = "10.234.0.0/24") -> None:
    """The smallest network that works: loopback (containerd's own) and a bridge."""
    directory.mkdir(parents=True, exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "mtest0",
        "isGateway": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "dataDir": str(data_dir), "ranges": [[{"subnet": subnet}]]},
    }
    network = {"cniVersion": "0.4.0", "name": "motet-test", "plugins": [bridge]}
    (directory / "10-test.conflist").write_text(json.dumps(network))


def leaked(config: ContainerdConfig) -> list[str]:
    """Everything of a node that still exists: processes, mounts, cgroups, directories, sockets."""
    found = [f"shim {pid}" for pid in demolition.shims(config.socket)]
    for directory in (config.root, config.state):
        found += [f"mount {point}" for point in mounts.below(directory)]
        found += [f"directory {directory}"] if directory.exists() else []
        found += [f"process {pid}" for pid in _processes_naming(str(directory))]
    found += [f"socket {path}" for path in (config.socket, Path(f"{config.socket}.ttrpc")) if path.exists()]
    cgroups = Cgroups(config.cgroup_mount)
    if cgroups.exists(config.cgroup_root):
        found.append(f"cgroup {config.cgroup_root} with {cgroups.children(config.cgroup_root)}")
    return found


def _processes_naming(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
