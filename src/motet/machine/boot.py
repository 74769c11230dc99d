"""Motet as a unit of systemd: started with the machine, started again when it ends by accident, never its containers' end.

Only where systemd runs this very machine: from within a container or a network namespace (a testbed's nodes) it would start the
daemon somewhere else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motet.base.errors import MotetError
from motet.base.files import write_atomically
from motet.machine.layout import Machine

Say = Callable[[str], None]

_SECONDS = 90.0
# `process`: whatever else is in the unit's control group, such as the containers' shims, is not the daemon's to end; nor does
# the daemon end when one of these has been killed for its memory, such as a step of a build.
_UNIT = """\
[Unit]
Description=Motet on this machine ({data_dir})
Wants=network-online.target
After=network-online.target time-sync.target
RequiresMountsFor={mount}
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
Restart=on-failure
RestartSec=1
KillMode=process
OOMPolicy=continue
TimeoutStopSec=60
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
StandardOutput=append:{log}
StandardError=inherit

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Systemd:
    """Where systemd keeps its units and says that it runs; tests have places of their own."""

    units: Path = Path("/etc/systemd/system")
    sign: Path = Path("/run/systemd/system")
    namespaces: Path = Path("/proc/1/ns")

    def absent(self) -> str:
        """Why systemd is not to start Motet here; empty when it is."""
        if not self.sign.is_dir() or shutil.which("systemctl") is None:
            return "systemd does not run this machine"
        for kind in ("net", "mnt", "pid"):
            if not self._same(kind):
                return "this is a namespace of its own, which systemd knows nothing of"
        return ""

    def _same(self, kind: str) -> bool:
        try:
            return os.readlink(self.namespaces / kind) == os.readlink(f"/proc/self/ns/{kind}")
        except OSError:
            return False

    def unit(self, machine: Machine) -> Path:
        """The unit file of one data directory."""
        return self.units / f"{machine.run_dir.name}.service"

    def install(self, machine: Machine, say: Say) -> None:
        """Have Motet start with the machine, or say why it will not. Raises MotetError.

        A unit that is there is brought up to date and otherwise left as it is: somebody may have disabled it.
        """
        if why := self.absent():
            say(f"{why}: after a reboot, start Motet with: motet start")
            return
        unit, content = self.unit(machine), text(machine, (sys.executable, "-m", "motet")).encode()
        there = unit.exists()
        if there and unit.read_bytes() == content:
            return
        write_atomically(unit, content, mode=0o644)
        _systemctl("daemon-reload")
        if not there:
            _systemctl("enable", unit.name)
            say("Motet will start with this machine")

    def start(self, machine: Machine) -> bool:
        """Have systemd start the daemon; False where it has no unit for it. Raises MotetError."""
        unit = self.unit(machine)
        if self.absent() or not unit.exists():
            return False
        machine.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        _systemctl("reset-failed", unit.name, check=False)
        _systemctl("start", unit.name)
        return True

    def stop(self, machine: Machine) -> None:
        """Have systemd let it be ended: a daemon that was killed a moment ago is not started again. Raises MotetError."""
        unit = self.unit(machine)
        if not self.absent() and unit.exists():
            _systemctl("stop", unit.name)

    def remove(self, machine: Machine) -> None:
        """Take the unit away; whatever is gone already is fine."""
        unit = self.unit(machine)
        if not unit.exists():
            return
        _systemctl("disable", unit.name, check=False)
        unit.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self.units / "multi-user.target.wants" / unit.name).unlink()
        _systemctl("daemon-reload", check=False)
        _systemctl("reset-failed", unit.name, check=False)


def text(machine: Machine, motet: tuple[str, ...]) -> str:
    """The unit file; `motet` is the command line that is Motet. See systemd.service(5), systemd.exec(5)."""
    command = (*motet, "daemon", "--data-dir", str(machine.data_dir))
    return _UNIT.format(
        data_dir=_literal(str(machine.data_dir)),
        mount=_quoted(str(machine.data_dir)),
        command=" ".join(_quoted(word).replace("$", "$$") for word in command),
        log=_literal(str(machine.logs / "daemon.log")),
    )


def _literal(word: str) -> str:
    """With nothing in it that systemd would fill in."""
    return word.replace("%", "%%")


def _quoted(word: str) -> str:
    """One word of a command line or list."""
    escaped = _literal(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _systemctl(*words: str, check: bool = True) -> None:
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        if check:
            raise MotetError(f"systemctl {' '.join(words)}: {error}") from error
        return
    if check and done.returncode != 0:
        raise MotetError(f"systemctl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
