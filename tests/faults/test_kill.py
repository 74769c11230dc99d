"""kill -9 of any process on any node at any time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.bed import NODES, Bed, until

from motet.machine import lifecycle
from motet.runtime.cgroups import Cgroups
from motet.testbed.plan import TestbedError

_KILLS = 8


def processes(bed: Bed, name: str) -> list[int]:
    """All of a node's, but the one that stands for the machine itself."""
    box = bed.box(name)
    return sorted(Cgroups().processes(box.machine.cgroup_root) - {box.pid})


def what(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:110]
    except OSError:
        return ""


def motets_own(command: str) -> bool:
    """Daemon, manager, agent and containerd: no pod is to notice their ends."""
    return "-m motet" in command or "containerd --config" in command


def any_at_all(command: str) -> bool:
    """Those, and shims, and what runs in pods."""
    return bool(command)


@pytest.mark.parametrize(("eligible", "share"), [(motets_own, 0.0), (any_at_all, 0.3)])
def test_any_process_may_be_killed_at_any_time(bed: Bed, eligible: Callable[[str], bool], share: float) -> None:
    seed = int(os.environ.get("MOTET_TEST_SEED", time.time_ns() % 1_000_000))
    dice, killed = random.Random(seed), [f"MOTET_TEST_SEED={seed}"]
    with bed.load(each=1) as load:
        for _ in range(_KILLS):
            name = dice.choice(NODES)
            victim = dice.choice([pid for pid in processes(bed, name) if eligible(what(pid))] or [0])
            killed.append(f"{name}: {what(victim)}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim or 2**22, signal.SIGKILL)
            time.sleep(dice.uniform(0.2, 1.5))
            keep_on(bed, name)
        bed.whole(90)
        ended = time.monotonic()
        until(lambda: load.served(ended) > 60, 20)
    killed.append(f"{load.answers} requests served, {len(load.failures)} failed")
    told = "\n".join([*killed, *map(str, load.failures[:20])])
    print(told)
    assert load.answers > 200
    assert load.failed(after=ended) == [], told
    assert len(load.failures) <= share * load.answers, told


def keep_on(bed: Bed, name: str) -> None:
    """What systemd does on a machine that has it: start the daemon again."""
    if not lifecycle.running(bed.box(name).machine):
        with contextlib.suppress(TestbedError):
            bed.start(name)
