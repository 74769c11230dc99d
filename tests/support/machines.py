"""Machines at one switch, typed into as a person would. They are boxes of a testbed with nothing on them yet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from motet.runtime.cri import CriRuntime
from motet.testbed import plan as plans
from motet.testbed import switch as switches
from motet.testbed.box import Box
from motet.testbed.plan import Member, Plan
from support.images import busybox_image

IMAGE = "localhost/motet-test/busybox:1"


class Machines:
    """Empty machines at the same switch: m1, m2 and so on."""

    def __init__(self, directory: Path, count: int = 2) -> None:
        self.directory = directory
        members = tuple(Member(f"m{number}", number, manager=number == 1) for number in range(1, count + 1))
        self.plan = Plan(str(plans.free_subnet(switches.used_networks())), members, switches.forwarding())
        self.switch = switches.Switch(plans.tag(directory))
        self.boxes = {member.name: Box(directory / member.name) for member in members}

    def plug(self) -> None:
        self.switch.make(self.plan)
        for member in self.plan.members:
            with warnings.catch_warnings():
                # A machine is meant to outlive whoever turned it on.
                warnings.simplefilter("ignore", ResourceWarning)
                process = self.boxes[member.name].boot()
            self.switch.plug(self.plan, member, process)

    def address(self, name: str) -> str:
        return str(self.plan.address(self.plan.member(name)))

    def motet(self, name: str, *words: str, fails: bool = False) -> str:
        """What a verb prints on a machine; with `fails`, what it complains of."""
        box = self.boxes[name]
        command = box.inside([sys.executable, "-m", "motet", *words, "--data-dir", str(box.machine.data_dir)])
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
        logs = "".join(f"\n{log}: {log.read_text()[-3000:]}" for log in box.machine.data_dir.glob("logs/*.log"))
        assert bool(done.returncode) == fails, f"motet {' '.join(words)}: {done.stdout}{done.stderr}{logs}"
        return done.stderr if fails else done.stdout

    def nodes(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in json.loads(self.motet("m1", "node", "ls", "-o", "json"))}

    def kubectl(self, *words: str, stdin: str = "", check: bool = True) -> str:
        kubectl = Path(sys.executable).with_name("kubectl")
        config = f"--kubeconfig={self.boxes['m1'].machine.kubeconfig}"
        command = self.boxes["m1"].inside([str(kubectl), config, *words])
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    async def remove(self) -> None:
        for box in self.boxes.values():
            with contextlib.suppress(AssertionError):
                self.motet(box.directory.name, "leave", "--force")
        for box in self.boxes.values():
            await box.remove()
        self.switch.remove(self.plan.forwarding_before)


@contextlib.contextmanager
def plugged(count: int = 2) -> Iterator[Machines]:
    """Machines that are on; gone with everything on them afterwards."""
    with tempfile.TemporaryDirectory(prefix="motet-machines-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        made = Machines(Path(directory), count)
        try:
            made.plug()
            yield made
        finally:
            asyncio.run(made.remove())


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


def import_image(machines: Machines, name: str) -> None:
    archive = busybox_image(machines.directory / "busybox.tar", IMAGE)
    socket = machines.boxes[name].machine.containerd_socket

    async def work() -> None:
        runtime = CriRuntime(socket)
        try:
            await runtime.import_image(str(archive))
        finally:
            await runtime.close()

    asyncio.run(work())
