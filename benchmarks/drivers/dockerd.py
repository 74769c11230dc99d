"""Docker's own swarm as a peer: Debian's packages unpacked into a folder, run on a machine of a testbed's kind.

Nothing is installed. Daemon, containerd, shims and runc are the folder's own copies, so that none of their memory is shared
with those that Motet runs. The machine has a network of its own with no way out: look-ups at registries fail at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from motet.testbed.box import Box

# What dockerd asks for by name; libraries and iptables are the machine's.
_PACKAGES = ("docker.io", "containerd", "runc")
_NETWORK = (
    "link set lo up",
    "link add up0 type bridge",
    "addr add 192.0.2.77/24 dev up0",
    "link set up0 up",
    "route add unreachable default",
)
_START_SECONDS = 60.0


class Absent(Exception):
    """The peer cannot be had here; says why."""


def unpack(folder: Path) -> Path:
    """The packages' file system below `folder`, fetched if it is not there. Raises Absent."""
    tree, made = folder / "tree", folder / "tree.new"
    if tree.exists():
        return tree
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise Absent(f"there is no {tool} to unpack Debian's docker.io with")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fetched = subprocess.run(
        ["apt-get", "download", *_PACKAGES], cwd=folder, capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        raise Absent(f"apt-get download {' '.join(_PACKAGES)}: {fetched.stderr.strip()[-300:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(made)], check=True)
    made.rename(tree)
    return tree


class Dockerd:
    """A swarm of one machine, kept in `directory`."""

    def __init__(self, directory: Path, tree: Path) -> None:
        self.box = Box(directory)
        self.socket = self.box.machine.run_dir / "docker.sock"
        self._path = ":".join([*(str(tree / each) for each in ("usr/sbin", "usr/bin")), os.environ["PATH"]])
        self._log = directory / "dockerd.log"

    def up(self, docker: str) -> None:
        """Start it and make it a swarm, with `docker` as command line. Raises Absent."""
        self.box.boot()
        run = self.box.machine.run_dir
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        for words in _NETWORK:
            subprocess.run(self.box.inside(["ip", *words.split()]), check=True)
        command = ["env", f"PATH={self._path}", "dockerd", f"--host=unix://{self.socket}"]
        command += [f"--data-root={self.box.directory / 'data'}", f"--exec-root={run / 'exec'}"]
        command += [f"--pidfile={run / 'docker.pid'}", f"--cgroup-parent={self.box.machine.cgroup_root}/containers"]
        self.box.start(command, self._log)
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(
            [docker, f"--host=unix://{self.socket}", "version"], capture_output=True, check=False
        ).returncode:
            if time.monotonic() > deadline:
                raise Absent(f"dockerd does not start here:\n{self._log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.2)
        self.docker(docker, "swarm", "init", "--advertise-addr", "192.0.2.77")

    def docker(self, docker: str, *arguments: str) -> None:
        subprocess.run([docker, f"--host=unix://{self.socket}", *arguments], stdout=subprocess.DEVNULL, check=True)

    async def down(self) -> None:
        await self.box.remove()
