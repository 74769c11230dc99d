"""Processes are kept alive, not too eagerly, and end with whoever keeps them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from motet.machine import supervisor
from motet.machine.supervisor import Keeper, Plan, Program


class Process:
    """Ends when told a code."""

    code: int | None = None

    def poll(self) -> int | None:
        return self.code


class Starts:
    """Every start of a program; `refuse` has it fail."""

    def __init__(self) -> None:
        self.made: list[Process] = []
        self.refuse = False

    def __call__(self, program: Program) -> Process | None:
        if self.refuse:
            return None
        self.made.append(Process())
        return self.made[-1]


PROGRAM = Program("agent", ("true",), "/dev/null")


def keeper(starts: Starts) -> Keeper:
    made = Keeper(PROGRAM, starts, 100.0)  # type: ignore[arg-type]
    made.tend(100.0)
    return made


def test_what_ends_is_started_again_after_a_delay() -> None:
    starts = Starts()
    kept = keeper(starts)
    assert len(starts.made) == 1
    assert kept.due is None
    starts.made[0].code = 1
    kept.tend(101.0)
    assert len(starts.made) == 1
    assert kept.due == 101.2
    kept.tend(101.2)
    assert len(starts.made) == 2


def ended(kept: Keeper, starts: Starts, now: float) -> float:
    """The delay after an end at `now`."""
    starts.made[-1].code = 1
    kept.tend(now)
    assert kept.due is not None
    return round(kept.due - now, 3)


def test_the_delay_grows_up_to_half_a_minute_and_a_healthy_run_begins_it_afresh() -> None:
    starts = Starts()
    kept = keeper(starts)
    now, delays = 100.0, []
    for _ in range(10):
        delays.append(ended(kept, starts, now))
        now += delays[-1]
        kept.tend(now)
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert ended(kept, starts, now + 61.0) == 0.2


def test_what_cannot_be_started_is_tried_again() -> None:
    starts = Starts()
    starts.refuse = True
    kept = keeper(starts)
    assert kept.due == 100.2
    starts.refuse = False
    kept.tend(100.3)
    assert len(starts.made) == 1


def test_a_plan_is_the_same_after_a_command_line() -> None:
    plan = Plan("/run/x/daemon.pid", (Program("manager", ("motet", 'a "b" $c'), "/l/server.log"), PROGRAM))
    assert Plan.decode(supervisor.command(Path("/x"), plan)[-1]) == plan


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_children_end_with_the_supervisor_and_are_replaced_before(tmp_path: Path) -> None:
    pid_file, log = tmp_path / "daemon.pid", tmp_path / "logs" / "one.log"
    shell = ("sh", "-c", "[ $MALLOC_ARENA_MAX = 1 ] && echo $$; exec sleep 1000")
    plan = Plan(str(pid_file), (Program("one", shell, str(log)),))
    running = subprocess.Popen(supervisor.command(tmp_path, plan), stderr=subprocess.PIPE)
    try:
        until(lambda: log.exists() and log.read_text().endswith("\n"))
        assert int(pid_file.read_text()) == running.pid
        os.kill(int(log.read_text()), signal.SIGKILL)
        until(lambda: log.read_text().count("\n") == 2)
        last = int(log.read_text().split()[-1])
        running.terminate()
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0
    assert b"the one exited with -9; starting it again" in said
    assert not Path(f"/proc/{last}").exists()
    assert not pid_file.exists()


def test_a_log_without_room_keeps_nobody_from_starting_again(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    plan = Plan(str(tmp_path / "daemon.pid"), (Program("one", ("sh", "-c", "echo $$; exec sleep 1000"), str(log)),))
    with open("/dev/full", "wb") as full:
        running = subprocess.Popen(supervisor.command(tmp_path, plan), stderr=full)
    try:
        until(lambda: log.exists() and log.read_text().endswith("\n"))
        os.kill(int(log.read_text()), signal.SIGKILL)
        until(lambda: log.read_text().count("\n") == 2)
        running.terminate()
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.wait()


def test_what_does_not_end_in_time_is_killed() -> None:
    stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM; echo; exec sleep 1000"], stdout=subprocess.PIPE)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    with stubborn:
        try:
            assert stubborn.stdout is not None
            stubborn.stdout.readline()
            kept = Keeper(PROGRAM, lambda _: stubborn, 0.0)
            kept.tend(0.0)
            kept.tell()
            kept.end(time.monotonic() + 0.3)
            assert stubborn.returncode == -signal.SIGKILL
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            stubborn.kill()
