"""Another Motet in the place of the one that was installed: on a worker, on the manager, and one of them only."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.faults.bed import NODES, Bed, plain, until
from tests.faults.test_manager import alive

from motet.base import release
from motet.kinds import node, pod
from motet.runtime.cgroups import Cgroups

_ROOT = Path(__file__).parents[2]
# The oldest state of this repository whose agents and managers have to work with today's: since it the store keeps secrets
# encrypted, which managers before it cannot read. After a release, that of the last minor version.
_EARLIER = "5d6259a"


def version(more: int) -> str:
    major, minor, patch = (int(part) for part in release.VERSION.split("."))
    return f"{major}.{minor + more}.{patch}"


def package(where: Path, number: str) -> dict[str, str]:
    """A copy of Motet that calls itself another version, as an environment that runs it."""
    shutil.copytree(_ROOT / "src/motet", where / "motet", ignore=shutil.ignore_patterns("__pycache__"))
    file = where / "motet/base/release.py"
    file.write_text(file.read_text().replace(f'"{release.VERSION}"', f'"{number}"'))
    return {"PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1"}


def earlier(where: Path) -> dict[str, str]:
    """Motet as it was."""
    archive = where / "motet.tar"
    command = ["git", "-C", str(_ROOT), "archive", "-o", str(archive), _EARLIER, "src/motet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this clone does not reach back to {_EARLIER}: {done.stderr.strip()}")
    subprocess.run(["tar", "-x", "-C", str(where), "-f", str(archive)], check=True)
    return {"PYTHONPATH": str(where / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


def containers(bed: Bed) -> dict[int, str]:
    """pid -> time of birth of every container's first process, on all nodes. Probes and hooks come and go."""
    found = {}
    for name in NODES:
        for pid in Cgroups().processes(f"{bed.box(name).machine.cgroup_root}/pods"):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text().splitlines()
                if any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in status):
                    found[pid] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return found


def replace(bed: Bed, name: str, environment: dict[str, str], shown: str) -> None:
    """Stop Motet on a node, start the other one, and see it at work there."""
    bed.stop(name)
    bed.start(name, environment)
    until(lambda: all(bed.ready(each) for each in NODES), 60)
    until(lambda: bed.get(node.KIND, name)["status"]["nodeInfo"]["kubeletVersion"].endswith(f"+motet-{shown}"), 30)


def works(bed: Bed, name: str) -> None:
    """The node takes a pod, lets itself be asked about it, and gives it up again."""
    called = f"new-on-{name}"
    bed.create(pod.KIND, plain(called, name))
    until(lambda: bed.running(name, called), 60, f"{name} takes no pods")
    assert "alive" in bed.kubectl("exec", called, "--", "sh", "-c", "echo alive")
    bed.request("DELETE", pod.KIND.path("default", called))
    until(lambda: not bed.pods(called), 60, f"{name} gives up no pods")


def test_replacing_motet_restarts_no_container_and_one_minor_version_apart_works(bed: Bed, tmp_path: Path) -> None:
    before, pods = containers(bed), alive(bed)
    assert len(before) >= 12
    new, later = package(tmp_path / "new", version(1)), package(tmp_path / "later", version(3))
    try:
        with bed.load(each=1) as load:
            replace(bed, "n2", new, version(1))
            works(bed, "n2")  # a newer node of an older manager
            replace(bed, "n1", new, version(1))
            works(bed, "n3")  # an older node of a newer manager
            assert containers(bed) == before
            assert alive(bed) == pods
            refused(bed, later)
        assert load.failures == []
    finally:
        for name in NODES:
            bed.stop(name)
            bed.start(name)
    bed.whole()
    assert containers(bed) == before, "nor does going back"


def refused(bed: Bed, environment: dict[str, str]) -> None:
    """Two minor versions apart: told in words, by the node's log, and its pods run on."""
    log = bed.box("n3").machine.logs / "agent.log"
    length = log.stat().st_size
    bed.stop("n3")
    bed.start("n3", environment)
    words = f"a node with Motet {version(3)} and a manager with Motet {version(1)} do not work together"
    until(lambda: words in log.read_text()[length:], 20)
    bed.stop("n3")
    bed.start("n3")


def test_todays_motet_works_with_that_of_before_on_either_side(bed: Bed, tmp_path: Path) -> None:
    old = earlier(tmp_path)
    before = containers(bed)
    try:
        with bed.load(each=1) as load:
            replace(bed, "n2", old, release.VERSION)
            works(bed, "n2")
            replace(bed, "n1", old, release.VERSION)
            works(bed, "n3")
            began = time.monotonic()
            until(lambda: load.served(began) > 60, 20)
        assert load.failures == []
    finally:
        for name in ("n1", "n2"):
            bed.stop(name)
            bed.start(name)
    bed.whole()
    assert containers(bed) == before
