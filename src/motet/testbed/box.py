"""One machine of a testbed: a process that holds a network namespace and a mount namespace, and all that runs in them.

The namespaces live as long as that process and whatever it started; killing all of them is pulling the plug, and nothing
of the machine's network or mounts is left, only its disk. Everything is in one control group, by which it is found again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from motet.machine.layout import Machine
from motet.runtime import mounts
from motet.runtime.cgroups import Cgroups
from motet.testbed.plan import TestbedError

# The node's own places where the runtime has paths compiled in; then wait to be killed.
_BOOT = """
mount --make-rshared / || exit 1
for place in /run/containerd /var/lib/cni; do
  mkdir -p $place "$1$place" && mount --bind "$1$place" $place || exit 1
done
echo $$ > "$1/booted"
exec sleep infinity
"""
# What is left running by a command that ended belongs to the machine all the same.
_ENTER = 'for group in $1; do echo $$ > "$group/cgroup.procs"; done; shift; exec "$@"'
_BOOT_SECONDS = 10.0
_KILL_SECONDS = 20.0


class Box:
    """The machine whose disk is `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.machine = Machine(directory / "motet")
        self._cgroups = Cgroups()

    @property
    def pid(self) -> int:
        """The process that holds the namespaces, 0 when the machine is off."""
        try:
            pid = int((self.directory / "booted").read_text())
        except (OSError, ValueError):
            return 0
        return pid if _runs(pid) and pid in self._cgroups.processes(f"{self.machine.cgroup_root}/box") else 0

    @property
    def booted(self) -> datetime:
        """When a service was started on it last; the beginning of time if never."""
        try:
            return datetime.fromtimestamp((self.directory / "booted").stat().st_mtime, UTC)
        except OSError:
            return datetime.min.replace(tzinfo=UTC)

    def boot(self) -> int:
        """Turn it on; returns the process to plug the network into. Raises TestbedError."""
        self.power_off()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        booted = self.directory / "booted"
        booted.unlink(missing_ok=True)
        command = ("unshare", "--net", "--mount", "--propagation=private", "sh", "-c", _BOOT, "sh", str(self.directory))
        pid = self._spawn(command, self.directory / "boot.log")
        deadline = time.monotonic() + _BOOT_SECONDS
        while not booted.exists() or not booted.read_text().strip():
            if not _runs(pid) or time.monotonic() > deadline:
                self.power_off()
                raise TestbedError(f"a node does not boot: {(self.directory / 'boot.log').read_text().strip()}")
            time.sleep(0.005)
        return self.pid

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in this machine's namespaces and group. Raises TestbedError when it is off."""
        pid = self.pid
        if not pid:
            raise TestbedError(
                f"node {self.directory.name} is off; start it: motet testbed start {self.directory.name}"
            )
        groups = " ".join(map(str, self._cgroups.homes(f"{self.machine.cgroup_root}/box")))
        return ["sh", "-c", _ENTER, "sh", groups, "nsenter", f"--target={pid}", "--net", "--mount", "--", *command]

    def start(self, command: Sequence[str], log: Path) -> None:
        """Run a service in it, with its output in `log`."""
        (self.directory / "booted").touch()
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._spawn(self.inside(command), log)

    def run(self, command: Sequence[str]) -> int:
        """Run a command in it on this terminal, as somebody at that machine would; returns its exit code.

        `motet` and `kubectl` typed there mean the Motet of that machine.
        """
        own = {"MOTET_DATA_DIR": str(self.machine.data_dir), "KUBECONFIG": str(self.machine.kubeconfig)}
        return subprocess.run(self.inside(command), check=False, env={**os.environ, **own}).returncode

    def power_off(self) -> None:
        """Kill every process of it at once. Raises TestbedError when some cannot be killed."""
        root = self.machine.cgroup_root
        deadline = time.monotonic() + _KILL_SECONDS
        while found := {pid for pid in self._cgroups.processes(root) if _runs(pid)} - {os.getpid()}:
            if time.monotonic() > deadline:
                raise TestbedError(f"processes {sorted(found)} of node {self.directory.name} cannot be killed")
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    async def remove(self) -> None:
        """Turn it off and throw it away. Raises RuntimeFailure, TestbedError."""
        self.power_off()
        await self._cgroups.remove(self.machine.cgroup_root)
        mounts.unmount_below(self.directory)
        for directory in (self.machine.run_dir, self.directory):
            if directory.exists():
                shutil.rmtree(directory)

    def _spawn(self, command: Sequence[str], log: Path) -> int:
        """Start something that outlives this process, in a session of its own."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            pid = os.posix_spawnp(
                "sh",
                ["sh", "-c", 'cd / && exec "$@"', "sh", *command],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), *((os.POSIX_SPAWN_DUP2, output, at) for at in (1, 2))],
                setsid=True,
            )
        except OSError as error:
            raise TestbedError(f"cannot start {command[0]}: {error.strerror}") from error
        finally:
            os.close(null)
            os.close(output)
        self._cgroups.place(f"{self.machine.cgroup_root}/box", pid)
        return pid


def _runs(pid: int) -> bool:
    """Whether it is more than a dead process nobody has collected."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
