"""Whatever became of the process that made a testbed, `down` finds all of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from motet.runtime.cgroups import Cgroups
from motet.testbed import plan as plans
from motet.testbed.cluster import Testbed
from motet.testbed.switch import Switch

from .world import left

pytestmark = pytest.mark.node


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="motet-testbed-", dir="/var/tmp") as parent:
        yield Path(parent, "bed")


def begin(directory: Path) -> subprocess.Popen[bytes]:
    """`motet testbed up`, still at it when this returns: two nodes at least are on."""
    command = [sys.executable, "-m", "motet", "testbed", "up", "--nodes", "3", "--dir", str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(list(directory.glob("nodes/*/booted"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("lost", ["nothing", "the plan", "the switch"])
def test_what_was_begun_and_killed_is_taken_down(directory: Path, lost: str) -> None:
    process = begin(directory)
    process.send_signal(signal.SIGKILL)
    process.wait()
    testbed, tag = Testbed(directory), plans.tag(directory)
    roots = [testbed.box(name).machine.cgroup_root for name in ("n1", "n2", "n3")]
    pids = {pid for root in roots for pid in Cgroups().processes(root)}
    assert pids
    if lost == "the plan":
        (directory / "plan.json").write_text("{")
    elif lost == "the switch":
        subprocess.run(["ip", "netns", "delete", Switch(tag).namespace], check=True)
    asyncio.run(testbed.down())
    assert left(tag, roots) == []
    assert not directory.exists()
    assert not any(_alive(pid) for pid in pids)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
