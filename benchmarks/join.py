"""Ten machines joined by a script: seconds from the first `motet join` until the last node takes pods.

Machines are network and mount namespaces at one switch, with nothing of Motet on them before. Each line is what a person would
type; a join returns when its node is ready. Then the same machines leave and join again, all at once. Everything is
removed at the end. All machines share this one's processors, which real ones do not.

    sudo python benchmarks/join.py [--nodes 10] [--encrypt] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from motet.testbed import plan as plans
from motet.testbed.box import Box
from motet.testbed.plan import Member, Plan
from motet.testbed.switch import Switch, forwarding, used_networks


class Machines:
    """m0, which becomes the manager, and m1 and so on, which join."""

    def __init__(self, directory: Path, workers: int) -> None:
        members = tuple(Member(f"m{number}", number + 1, manager=number == 0) for number in range(workers + 1))
        self.plan = Plan(str(plans.free_subnet(used_networks())), members, forwarding())
        self.switch = Switch(plans.tag(directory))
        self.boxes = {member.name: Box(directory / member.name) for member in members}
        self.workers = [member.name for member in members[1:]]

    def turn_on(self) -> None:
        self.switch.make(self.plan)
        for member in self.plan.members:
            self.switch.plug(self.plan, member, self.boxes[member.name].boot())

    def motet(self, name: str, *words: str) -> str:
        """What a verb prints on a machine."""
        box = self.boxes[name]
        command = box.inside([sys.executable, "-m", "motet", *words, "--data-dir", str(box.machine.data_dir)])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: motet {' '.join(words)}: {done.stderr}")
        return done.stdout

    def join(self, name: str, token: str) -> float:
        """Seconds it took."""
        began = time.perf_counter()
        server = f"{self.plan.address(self.plan.manager)}:6443"
        self.motet(name, "join", "--token", token, server, "--node-name", name, "--quiet")
        return time.perf_counter() - began

    def ready(self) -> int:
        return sum(node["state"] == "ready" for node in json.loads(self.motet("m0", "node", "ls", "-o", "json")))

    async def remove(self) -> None:
        for box in self.boxes.values():
            box.power_off()
        await asyncio.gather(*(box.remove() for box in self.boxes.values()))
        self.switch.remove(self.plan.forwarding_before)


def measure(machines: Machines, encrypt: bool) -> dict[str, Any]:
    machines.turn_on()
    began = time.perf_counter()
    options = ("--encrypt",) if encrypt else ()
    token = json.loads(machines.motet("m0", "init", "--node-name", "m0", "-o", "json", *options))["worker"]
    init = time.perf_counter() - began
    began = time.perf_counter()
    each = [machines.join(name, token) for name in machines.workers]
    in_turn = time.perf_counter() - began
    assert machines.ready() == len(machines.workers) + 1
    with ThreadPoolExecutor(len(machines.workers)) as pool:
        list(pool.map(lambda name: machines.motet(name, "leave"), machines.workers))
        began = time.perf_counter()
        list(pool.map(lambda name: machines.join(name, token), machines.workers))
        at_once = time.perf_counter() - began
    assert machines.ready() == len(machines.workers) + 1
    found = {"init": init, "in turn": in_turn, "median join": statistics.median(each), "at once": at_once}
    return {name: round(seconds, 2) for name, seconds in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10, help="how many join")
    parser.add_argument("--encrypt", action="store_true", help="have the cluster encrypted")
    parser.add_argument("--json", action="store_true", help="print figures for programs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="motet-join-", dir="/var/tmp", ignore_cleanup_errors=True) as directory:
        machines = Machines(Path(directory), arguments.nodes)
        try:
            found = measure(machines, arguments.encrypt)
        finally:
            asyncio.run(machines.remove())
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"init {found['init']} s; {arguments.nodes} joins one after the other {found['in turn']} s ", end="")
    print(f"({found['median join']} s each), all at once {found['at once']} s")


if __name__ == "__main__":
    main()
