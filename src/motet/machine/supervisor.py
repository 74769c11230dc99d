"""Keeps processes alive: starts them, starts each again when it ends, and ends them when told to.

This is all that the daemon does for as long as the machine is up, so it is a program of its own that imports next to nothing:
`python -m motet.machine.supervisor daemon --data-dir DIR PLAN`, where PLAN is a `Plan` as JSON. The name and the directory are
there for whoever looks at the list of processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 30.0
_HEALTHY_AFTER = 60.0
_STOP_SECONDS = 20.0
_LARGEST_LOG = 32 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
# An arena for each thread gains a Python program nothing, whose threads take turns, and holds tens of MB (mallopt(3)).
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
# Loaded here: a child between fork and exec should not look for libraries.
_libc = ctypes.CDLL(None)


class Program(NamedTuple):
    """One process to keep alive; what it writes goes to `log`."""

    name: str
    command: tuple[str, ...]
    log: str


class Plan(NamedTuple):
    """What runs; `pid_file` holds the supervisor's process meanwhile."""

    pid_file: str
    programs: tuple[Program, ...]

    def encode(self) -> str:
        return json.dumps(self)

    @classmethod
    def decode(cls, text: str) -> Plan:
        pid_file, programs = json.loads(text)
        return cls(pid_file, tuple(Program(name, tuple(command), log) for name, command, log in programs))


def command(data_dir: Path, plan: Plan) -> list[str]:
    """The command line of a supervisor."""
    return [sys.executable, "-m", __name__, "daemon", "--data-dir", str(data_dir), plan.encode()]


class Keeper:
    """One program: its process, or when it is to be started next. Times are seconds of a monotonic clock.

    It is started again with a growing delay; a run that lasted a minute counts as healthy and starts the delays afresh.
    """

    def __init__(
        self, program: Program, start: Callable[[Program], subprocess.Popen[bytes] | None], now: float
    ) -> None:
        self._program = program
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._began = now
        self._delay = _FIRST_DELAY
        self.due: float | None = now

    def tend(self, now: float) -> None:
        """Notice its end; start it when that is due."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            _say(f"the {self._program.name} exited with {code}; starting it again; see {self._program.log}")
            self._put_off(now)
        if self.due is not None and now >= self.due:
            self._began, self.due = now, None
            self._process = self._start(self._program)
            if self._process is None:
                self._put_off(now)

    def _put_off(self, now: float) -> None:
        if now - self._began >= _HEALTHY_AFTER:
            self._delay = _FIRST_DELAY
        self.due = now + self._delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)

    def tell(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()

    def end(self, deadline: float) -> None:
        """Wait for its end, and kill it at the deadline."""
        if self._process is None:
            return
        while self._process.poll() is None and (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait((signal.SIGCHLD,), left)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def run(plan: Plan) -> None:
    """Keep the programs alive until SIGTERM or SIGINT."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    written = f"{plan.pid_file}.new"
    with open(written, "w") as file:
        file.write(f"{os.getpid()}\n")
    os.rename(written, plan.pid_file)
    keepers = [Keeper(program, start, time.monotonic()) for program in plan.programs]
    try:
        while True:
            for keeper in keepers:
                keeper.tend(time.monotonic())
            due = [keeper.due for keeper in keepers if keeper.due is not None]
            # What came since the last look waits here: the signals are blocked.
            told = signal.sigtimedwait(_SIGNALS, max(0.0, min(due) - time.monotonic()) if due else _LONGEST_DELAY)
            if told is not None and told.si_signo != signal.SIGCHLD:
                return
    finally:
        for keeper in keepers:
            keeper.tell()
        deadline = time.monotonic() + _STOP_SECONDS
        for keeper in keepers:
            keeper.end(deadline)
        os.unlink(plan.pid_file)


def start(program: Program) -> subprocess.Popen[bytes] | None:
    """Start it with its log; None when that is not possible now, which is said."""
    try:
        os.makedirs(os.path.dirname(program.log), mode=0o700, exist_ok=True)
        if os.path.exists(program.log) and os.path.getsize(program.log) > _LARGEST_LOG:
            os.replace(program.log, f"{program.log}.1")
        with open(program.log, "ab") as output:
            return subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**_ENVIRONMENT, **os.environ},
                preexec_fn=_in_the_child,  # noqa: PLW1509 - there is but one thread
            )
    except OSError as error:
        _say(f"the {program.name} does not start: {error}")
        return None


def _in_the_child() -> None:
    """SIGTERM when the supervisor dies, so that the next one never meets a second process of the same (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _say(words: str) -> None:
    """Tell the log. Where that has no room for it, on a full disk, keeping processes alive goes on nevertheless."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}\n".encode())


if __name__ == "__main__":
    run(Plan.decode(sys.argv[-1]))
