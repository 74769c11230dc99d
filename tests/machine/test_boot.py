"""Motet as a unit of systemd, with a systemctl that writes down what it is asked."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from motet.base.errors import MotetError
from motet.machine import boot, lifecycle
from motet.machine.boot import Systemd
from motet.machine.layout import DATA_DIR, Machine, Settings

_SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$ASKED"
case "$1 $FAILS" in "start start") echo "the unit is broken" >&2; exit 1;; esac
"""


class Machinery:
    """A machine with a systemd: `asked` is what its systemctl was told."""

    def __init__(self, directory: Path) -> None:
        self.units, self.asked_file = directory / "units", directory / "asked"
        (directory / "sign").mkdir()
        self.systemd = Systemd(self.units, directory / "sign", Path("/proc/self/ns"))
        self.machine = Machine(directory / "data")
        self.machine.remember(Settings(node_name="n1", address="192.0.2.1"))
        self.said: list[str] = []

    @property
    def asked(self) -> list[str]:
        return self.asked_file.read_text().splitlines() if self.asked_file.exists() else []

    def install(self) -> str:
        self.systemd.install(self.machine, self.said.append)
        return self.systemd.unit(self.machine).name


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machinery:
    program = tmp_path / "bin/systemctl"
    program.parent.mkdir()
    program.write_text(_SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    return Machinery(tmp_path)


def test_it_is_enabled_once_and_a_person_may_disable_it(made: Machinery):
    unit = made.install()
    assert made.asked == ["daemon-reload", f"enable {unit}"]
    assert made.said == ["Motet will start with this machine"]
    made.install()
    assert len(made.asked) == 2
    made.systemd.unit(made.machine).write_text("of another version")
    made.install()
    assert made.asked[2:] == ["daemon-reload"]


def test_it_is_started_and_stopped_through_systemd(made: Machinery):
    unit = made.install()
    lifecycle.start(made.machine, made.systemd)
    assert made.asked[-1] == f"start {unit}"
    assert lifecycle.stop(made.machine, made.systemd) is False
    assert made.asked[-1] == f"stop {unit}"


def test_a_unit_that_cannot_be_started_says_why(made: Machinery, monkeypatch: pytest.MonkeyPatch):
    made.install()
    monkeypatch.setenv("FAILS", "start")
    with pytest.raises(MotetError, match="the unit is broken"):
        lifecycle.start(made.machine, made.systemd)


def test_nothing_of_it_is_left_when_motet_is_removed(made: Machinery):
    unit = made.install()
    made.systemd.remove(made.machine)
    assert f"disable {unit}" in made.asked
    assert list(made.units.iterdir()) == []
    before = len(made.asked)
    made.systemd.remove(made.machine)
    assert len(made.asked) == before


def test_where_systemd_does_not_run_it_is_said_and_nothing_is_written(made: Machinery):
    made.systemd.sign.rmdir()
    made.install()
    assert made.said == ["systemd does not run this machine: after a reboot, start Motet with: motet start"]
    assert not made.units.exists()
    assert not made.systemd.start(made.machine)


def test_a_namespace_of_ones_own_is_none_of_systemds(made: Machinery, tmp_path: Path):
    (tmp_path / "ns").mkdir()
    (tmp_path / "ns/net").symlink_to("net:[1]")
    made.systemd = Systemd(made.units, made.systemd.sign, tmp_path / "ns")
    made.install()
    assert "a namespace of its own" in made.said[0]
    assert made.asked == []


@pytest.mark.parametrize("directory", [DATA_DIR, Path('/srv/a $x "q" \\ 100%n dir')])
def test_systemd_understands_the_unit(tmp_path: Path, directory: Path):
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "motet.service"
    unit.write_text(boot.text(Machine(directory), ("/usr/bin/env", "motet")))
    done = subprocess.run([verify, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_usual_place_has_the_usual_name_and_others_never_meet(tmp_path: Path):
    names = {Systemd().unit(Machine(path)).name for path in (DATA_DIR, tmp_path / "a", tmp_path / "b")}
    assert len(names) == 3
    assert "motet.service" in names


def test_a_directory_that_is_not_motets_keeps_its_unit(made: Machinery):
    made.install()
    made.machine.data_dir.joinpath("stranger").touch()
    made.machine._settings_file.unlink()
    with pytest.raises(MotetError, match="nothing was removed"):
        asyncio.run(lifecycle.remove(made.machine, systemd=made.systemd))
    assert made.systemd.unit(made.machine).exists()
