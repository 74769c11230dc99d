"""A containerd of one's own for a test session: own directories, cgroups and network namespace, all gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from motet.runtime import demolition, mounts
from motet.runtime.cgroups import Cgroups
from motet.runtime.containerd import Containerd
from motet.runtime.cri import CriRuntime
from motet.runtime.settings import ContainerdConfig
from support.images import busybox_image

IMAGE = "localhost/motet-test/busybox:1"


@dataclass
class TestNode:
    """What a test gets."""

    __test__ = False

    directory: Path
    netns: str
    containerd: Containerd
    runtime: CriRuntime

    @property
    def cgroup_root(self) -> str:
        return self.containerd.config.cgroup_root

    def connect(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        """A TCP connection made inside the node's network namespace."""
        made: list[socket.socket] = []

        def dial() -> None:
            with open(f"/run/netns/{self.netns}") as handle:
                _setns(handle.fileno())
            made.append(socket.create_connection((host, port), timeout=5))

        thread = threading.Thread(target=dial)
        thread.start()
        thread.join()
        return made[0]


def _setns(handle: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(handle, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def write_cni(directory: Path, data_dir: Path, subnet: str = "10.234.0.0/24") -> None:
    """The smallest network that works: loopback and a bridge."""
    directory.mkdir(parents=True, exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "mtest0",
        "isGateway": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "dataDir": str(data_dir), "ranges": [[{"subnet": subnet}]]},
    }
    (directory / "10-test.conflist").write_text(
        json.dumps({"cniVersion": "0.4.0", "name": "motet-test", "plugins": [bridge]})
    )


@asynccontextmanager
async def test_node(*, image: bool = True) -> AsyncIterator[TestNode]:
    """Start a node; destroy it and check that nothing is left."""
    directory = Path(tempfile.mkdtemp(prefix="motet-t-", dir="/tmp"))
    name = f"mt{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    config = ContainerdConfig.below(directory / "data", directory / "run", cgroup_root=f"/{name}")
    # `ip netns exec` would hide /sys/fs/cgroup.
    config = _with_launcher(config, ("nsenter", f"--net=/run/netns/{name}"))
    write_cni(config.cni_conf_dir, directory / "cni-data")
    node = TestNode(directory, name, Containerd(config), CriRuntime(config.socket))
    try:
        await node.containerd.ensure()
        if image:
            await node.runtime.import_image(str(busybox_image(directory / "busybox.tar", IMAGE)))
        yield node
    finally:
        await node.runtime.close()
        await node.containerd.destroy()
        subprocess.run(["ip", "netns", "delete", name], check=True)
        leaks = leaked(config)
        shutil.rmtree(directory)
    assert leaks == []


test_node.__test__ = False  # type: ignore[attr-defined]


def _with_launcher(config: ContainerdConfig, launcher: tuple[str, ...]) -> ContainerdConfig:
    from dataclasses import replace

    return replace(config, launcher=launcher)


def leaked(config: ContainerdConfig) -> list[str]:
    """Everything of a node that still exists: processes, mounts, cgroups, directories, sockets."""
    found = [f"shim {pid}" for pid in demolition.shims(config.socket)]
    for directory in (config.root, config.state):
        found += [f"mount {point}" for point in mounts.below(directory)]
        found += [str(directory)] if directory.exists() else []
        found += [f"process {pid}" for pid in _processes_naming(str(directory))]
    cgroups = Cgroups(config.cgroup_mount)
    if cgroups.exists(config.cgroup_root):
        found.append(f"cgroup {config.cgroup_root}: {cgroups.children(config.cgroup_root)}")
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
