"""Whatever may be left of a cluster on the machine that ran it: found by looking, not by asking Motet.

A session notes its clusters in a register; a later session takes away what is left of those whose session is dead.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from e2e.cluster import Cluster, processes, start_time

_REGISTER = Path("/run/motet-e2e")
_CGROUPS = Path("/sys/fs/cgroup")
_SHIM_SOCKETS = Path("/run/containerd/s")
_CNI_RESULTS = Path("/var/lib/cni/results")


def note(cluster: Cluster) -> None:
    """Write into the register that this process answers for `cluster`."""
    _REGISTER.mkdir(exist_ok=True)
    entry = {"pid": os.getpid(), "start": start_time(os.getpid()), "directory": str(cluster.directory)}
    (_REGISTER / f"{cluster.name}.json").write_text(json.dumps(entry))


def forget(cluster: Cluster) -> None:
    (_REGISTER / f"{cluster.name}.json").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _REGISTER.rmdir()


def clear_dead_sessions() -> None:
    """Take away clusters of sessions that were killed."""
    for path in sorted(_REGISTER.glob("*.json")):
        entry = json.loads(path.read_text())
        try:
            alive = start_time(entry["pid"]) == entry["start"]
        except OSError:
            alive = False
        if not alive:
            cluster = Cluster(path.stem, Path(entry["directory"]))
            with contextlib.suppress(Exception):
                cluster.remove()
            force(cluster)
            forget(cluster)


def shim_sockets(cluster: Cluster) -> list[Path]:
    """Where the cluster's shims listen now (their processes are in its cgroup, or name its socket)."""
    pids = {pid for pid, words in processes() if str(cluster.machine.run_dir) in " ".join(words)} | in_cgroups(cluster)
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(handle))
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines():
                words = line.split()
                if len(words) == 8 and f"socket:[{words[6]}]" in inodes and words[7].startswith(str(_SHIM_SOCKETS)):
                    found.append(Path(words[7]))
    return sorted(set(found))


def in_cgroups(cluster: Cluster) -> set[int]:
    pids = set()
    for group in _groups(cluster):
        # Groups go while they are looked at.
        for directory, _, _ in os.walk(group):
            with contextlib.suppress(OSError):
                pids.update(int(word) for word in (Path(directory) / "cgroup.procs").read_text().split())
    return pids


def of_kernel(cluster: Cluster) -> list[str]:
    """What is left inside the network namespace (which still stands): links, rules, routes."""
    links = json.loads(_output("ip", "-n", cluster.name, "-j", "link"))
    found = [f"link {link['ifname']}" for link in links if link["ifname"] not in ("lo", "up0")]
    rules = _output("nsenter", f"--net={cluster.netns}", "nft", "list", "ruleset")
    found += [f"nftables {line.strip()}" for line in rules.splitlines() if line.startswith("table")]
    for table in ("main", "local"):
        routes = _output("ip", "-n", cluster.name, "route", "show", "table", table)
        found += [f"route {line}" for line in routes.splitlines() if "10.42." in line or "10.43." in line]
    return found


def of_machine(cluster: Cluster, sockets: Iterable[Path] = ()) -> list[str]:
    """What is left on the machine: processes, mounts, cgroups, files."""
    names = (str(cluster.directory), str(cluster.machine.run_dir), cluster.name)
    found = []
    for pid, words in processes():
        if pid != os.getpid() and any(name in " ".join(words) for name in names):
            found.append(f"process {pid} {' '.join(words)}")
    found += [f"process {pid} in a cgroup" for pid in in_cgroups(cluster)]
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # The namespace itself is the test's.
        if any(name in line for name in names) and line.split()[4] != str(cluster.netns):
            found.append(f"mount {line.split()[4]}")
    found += [f"cgroup {group}" for group in _groups(cluster)]
    found += [f"file {path}" for path in (cluster.directory, cluster.machine.run_dir) if path.exists()]
    found += [f"socket {path}" for path in sockets if path.exists()]
    for path in _CNI_RESULTS.glob("*"):
        with contextlib.suppress(OSError):
            if names[0] in path.read_text():
                found.append(f"CNI result {path}")
    return found


def force(cluster: Cluster) -> None:
    """Take away by hand whatever of a cluster is left, without Motet's help."""
    sockets = shim_sockets(cluster)
    names = (str(cluster.directory), str(cluster.machine.run_dir))
    for _ in range(50):
        pids = {pid for pid, words in processes() if any(name in " ".join(words) for name in names)}
        pids = (pids | in_cgroups(cluster)) - {os.getpid()}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not pids:
            break
        time.sleep(0.1)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = line.split()[4]
        if any(name in point for name in names):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    for group in _groups(cluster):
        for directory in sorted(group.rglob("*/"), key=lambda path: -len(path.parts)):
            with contextlib.suppress(OSError):
                directory.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()
    if cluster.netns.exists():
        subprocess.run(["ip", "netns", "delete", cluster.name], check=False, capture_output=True)
    for path in (cluster.directory, cluster.machine.run_dir):
        shutil.rmtree(path, ignore_errors=True)
    for path in sockets:
        path.unlink(missing_ok=True)


def _groups(cluster: Cluster) -> list[Path]:
    name = cluster.machine.cgroup_root.strip("/")
    return [path for root in (_CGROUPS, *_CGROUPS.iterdir()) if (path := root / name).is_dir()]


def _output(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
