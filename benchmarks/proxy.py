"""How fast services are programmed into nftables, against a chain per service in the same run.

    sudo python benchmarks/proxy.py [--services N] [--endpoints N] [--rounds N] [--json]

Works in a network namespace of its own. Times are milliseconds, the median of the rounds: deciding is Python (from routes to
commands), programming is the transaction. The naive design has a chain per service and one per endpoint's draw in it, and
rewrites a service's chain when an endpoint changes; both are given the same routes through the same library.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from motet.network.config import NetworkConfig
from motet.network.proxy.desired import Backends, Frontend
from motet.network.proxy.nft import Nft
from motet.network.proxy.ruleset import Ruleset, base

CONFIG = NetworkConfig(
    node_name="n1", pods=IPv4Network("10.42.0.0/24"), cni_config=Path("/nowhere"), cni_state=Path("/nowhere")
)
Routes = dict[Frontend, Backends]


def routes(services: int, endpoints: int) -> Routes:
    first = IPv4Address("10.43.0.11")
    return {
        Frontend(str(first + service), "tcp", 80): Backends(
            tuple((f"10.42.{(service + index) % 200}.{2 + index}", 8080) for index in range(endpoints))
        )
        for service in range(services)
    }


def without_one(backends: Backends) -> Backends:
    return Backends(backends.endpoints[1:], backends.sticky)


class Naive:
    """A chain per service, jumped to from one map of addresses."""

    def full(self, wanted: Routes) -> str:
        lines = ["add table ip naive", "delete table ip naive", "add table ip naive"]
        lines.append("add map ip naive services { type ipv4_addr . inet_proto . inet_service : verdict; }")
        lines.append("add chain ip naive arriving { type nat hook prerouting priority -100; }")
        lines.append("add rule ip naive arriving ip daddr . meta l4proto . th dport vmap @services")
        items = list(wanted.items())
        for number, (frontend, backends) in enumerate(items):
            lines.append(f"add chain ip naive service_{number}")
            lines += self._rules(number, frontend, backends)
        listed = (f"{f.address} . {f.protocol} . {f.port} : goto service_{n}" for n, (f, _) in enumerate(items))
        lines.append(f"add element ip naive services {{ {', '.join(listed)} }}")
        return "\n".join(lines)

    def change(self, number: int, frontend: Frontend, backends: Backends) -> str:
        return "\n".join([f"flush chain ip naive service_{number}", *self._rules(number, frontend, backends)])

    @staticmethod
    def _rules(number: int, frontend: Frontend, backends: Backends) -> list[str]:
        count = len(backends.endpoints)
        listed = ", ".join(f"{index} : {ip} . {port}" for index, (ip, port) in enumerate(backends.endpoints))
        draw = f"numgen random mod {count} map {{ {listed} }}"
        return [f"add rule ip naive service_{number} meta l4proto {frontend.protocol} dnat ip to {draw}"]


def timed(work: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return (time.perf_counter() - began) * 1000, result


def ours(nft: Nft, wanted: Routes, changes: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"decide_full": [], "full": [], "decide_change": [], "change": []}
    ruleset = Ruleset(CONFIG)
    took, commands = timed(lambda: base(CONFIG) + ruleset.change((), wanted))
    found["decide_full"].append(took)
    found["full"].append(timed(lambda: nft.run(commands))[0])
    for frontend in list(wanted)[:changes]:
        for backends in (without_one(wanted[frontend]), wanted[frontend]):
            took, commands = timed(partial(ruleset.change, (), {frontend: backends}))
            found["decide_change"].append(took)
            found["change"].append(timed(partial(nft.run, commands))[0])
    nft.remove_table(CONFIG.table)
    return found


def naive(nft: Nft, wanted: Routes, changes: int) -> dict[str, list[float]]:
    design = Naive()
    took, commands = timed(lambda: design.full(wanted))
    found = {"decide_full": [took], "full": [timed(lambda: nft.run(commands))[0]], "decide_change": [], "change": []}
    for number, frontend in enumerate(list(wanted)[:changes]):
        for backends in (without_one(wanted[frontend]), wanted[frontend]):
            took, commands = timed(partial(design.change, number, frontend, backends))
            found["decide_change"].append(took)
            found["change"].append(timed(partial(nft.run, commands))[0])
    nft.remove_table("naive")
    return found


def measure(services: int, endpoints: int, rounds: int, changes: int) -> dict[str, Any]:
    wanted, nft = routes(services, endpoints), Nft()
    collected: dict[str, dict[str, list[float]]] = {"motet": {}, "chain_per_service": {}}
    for _ in range(rounds):
        for name, run in (("motet", ours), ("chain_per_service", naive)):
            for key, values in run(nft, wanted, changes).items():
                collected[name].setdefault(key, []).extend(values)
    result: dict[str, Any] = {"services": services, "endpoints_each": endpoints, "rounds": rounds}
    for name, found in collected.items():
        result[name] = {f"{key}_ms": round(statistics.median(values), 3) for key, values in found.items()}
    for key in ("full_ms", "change_ms"):
        result[f"{key.removesuffix('_ms')}_ratio"] = round(result["chain_per_service"][key] / result["motet"][key], 1)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--changes", type=int, default=20, help="services whose endpoints change, per round")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if os.environ.get("MOTET_BENCH_INSIDE") != "1":
        command = ["unshare", "--net", sys.executable, *sys.argv]
        raise SystemExit(subprocess.run(command, env={**os.environ, "MOTET_BENCH_INSIDE": "1"}, check=False).returncode)
    result = measure(arguments.services, arguments.endpoints, arguments.rounds, arguments.changes)
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{result['services']} services with {result['endpoints_each']} endpoints, ms (median)")
    print(f"{'':20}{'full':>10}{'decide':>10}{'change':>10}{'decide':>10}")
    for name in ("motet", "chain_per_service"):
        row = (result[name][f"{key}_ms"] for key in ("full", "decide_full", "change", "decide_change"))
        print(f"{name:20}" + "".join(f"{value:10.2f}" for value in row))
    print(f"one endpoint changed: {result['change_ratio']} times faster; from nothing: {result['full_ratio']} times")


if __name__ == "__main__":
    main()
