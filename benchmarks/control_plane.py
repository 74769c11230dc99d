"""The whole control plane under load: a Deployment of many pods on hollow nodes, to Running and gone again.

    python benchmarks/control_plane.py [--size 50x1000 200x3000] [--rounds 1] [--driver PATH] [--json]
                                       [--reference FOLDER [--etcd PATH]]

Starts `motet server` with an empty data folder and drives it with `benchmarks/drivers/hollow.py` (or another driver that takes
the same arguments and prints a line of JSON with up_s and down_s). Reports pods per second up and down, the peak of the
server's memory, and how much CPU server and driver took; a driver that was busy all the time is the limit itself.

`--reference` names a folder with kube-apiserver, kube-controller-manager and kube-scheduler: they are started with etcd and
driven in the same way, in turns with Motet, and the ratios are printed. Their clients' rate limits are lifted, which flatters them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motet.identity import kubeconfig
from motet.identity.authority import Authority

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_DRIVER = Path(__file__).parent / "drivers" / "hollow.py"
_START_SECONDS = 90.0

Figures = dict[str, float]


@dataclass(frozen=True)
class Plane:
    """A control plane that runs: where, as whom, and which processes it is."""

    url: str
    ca: Path
    certificate: Path
    key: Path
    processes: tuple[subprocess.Popen[bytes], ...]

    def cpu(self) -> float:
        """Seconds of CPU of all processes so far."""
        return sum(_cpu(process.pid) for process in self.processes)

    def memory(self) -> int:
        """Resident bytes of all processes."""
        return sum(int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * _PAGE for process in self.processes)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Sampler:
    """The peak of a plane's memory while the block lasts."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.idle = self.peak = plane.memory()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            self.peak = max(self.peak, self._plane.memory())

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(*commands: list[str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], ...]]:
    """Processes that are ended with the block, last first."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab"))
        found = []
        for command in commands:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            found.append(process)
        yield tuple(found)


def wait_ready(plane: Plane, log: Path) -> None:
    context = ssl.create_default_context(cafile=str(plane.ca))
    context.load_cert_chain(plane.certificate, plane.key)
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if any(process.poll() is not None for process in plane.processes):
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{plane.url}/readyz", context=context):
            return
        time.sleep(0.1)
    raise SystemExit(f"{plane.url} did not start:\n{log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def motet(folder: Path) -> Iterator[Plane]:
    port, log = free_port(), folder / "motet.log"
    pki = folder / "server" / "pki"
    motet = str(Path(sys.executable).with_name("motet"))
    command = [motet, "server", "--data-dir", str(folder), "--listen", f"127.0.0.1:{port}"]
    with running(command, log=log) as processes:
        until = time.monotonic() + _START_SECONDS
        written_last = folder / "server" / "admin.kubeconfig"
        while not written_last.exists() and processes[0].poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        url = f"https://127.0.0.1:{port}"
        plane = Plane(url, pki / "ca.crt", pki / "admin.crt", pki / "admin.key", processes)
        wait_ready(plane, log)
        yield plane


@contextlib.contextmanager
def kubernetes(folder: Path, binaries: Path, etcd: str) -> Iterator[Plane]:
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler."""
    authority = Authority.load_or_create(folder)
    serving = authority.issue("kube-apiserver", sans=("127.0.0.1", "localhost")).write(folder, "server")
    pair = authority.issue("admin", ("system:masters",))
    admin = pair.write(folder, "admin")
    accounts = authority.issue("service-accounts").write(folder, "accounts")
    client, peer, port, log = free_port(), free_port(), free_port(), folder / "log"
    url = f"https://127.0.0.1:{port}"
    config = folder / "kubeconfig"
    config.write_bytes(kubeconfig.render(url, authority.pem, pair))
    ca = folder / "ca.crt"
    store = [etcd, "--data-dir", str(folder / "etcd"), "--log-level", "error", "--initial-cluster"]
    store += [f"default=http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"]
    store += ["--listen-peer-urls", f"http://127.0.0.1:{peer}"]
    store += [f"--{which}-client-urls=http://127.0.0.1:{client}" for which in ("listen", "advertise")]
    api = [
        f"{binaries}/kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{client}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--client-ca-file={ca}",
        f"--tls-cert-file={serving[0]}",
        f"--tls-private-key-file={serving[1]}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={accounts[0]}",
        f"--service-account-signing-key-file={accounts[1]}",
        f"--cert-dir={folder}",
        "--max-requests-inflight=3000",
        "--max-mutating-requests-inflight=1000",
        "--v=0",
    ]
    fast = [f"--kubeconfig={config}", "--leader-elect=false", "--kube-api-qps=10000", "--kube-api-burst=10000", "--v=0"]
    manager = [f"{binaries}/kube-controller-manager", *fast, f"--service-account-private-key-file={accounts[1]}"]
    manager += [f"--root-ca-file={ca}", f"--cert-dir={folder}", f"--secure-port={free_port()}"]
    scheduler = [f"{binaries}/kube-scheduler", *fast, f"--cert-dir={folder}", f"--secure-port={free_port()}"]
    with running(store, api, log=log) as first:
        wait_ready(Plane(url, ca, *admin, first), log)
        with running(manager, scheduler, log=log) as second:
            plane = Plane(url, ca, *admin, (*first, *second))
            wait_ready(plane, log)
            time.sleep(5)  # controllers have filled their caches by then
            yield plane


def drive(plane: Plane, driver: Path, nodes: int, pods: int) -> Figures:
    """One run of the driver against a plane."""
    command = [sys.executable, str(driver), "--server", plane.url, "--ca", str(plane.ca)]
    command += ["--cert", str(plane.certificate), "--key", str(plane.key), "--nodes", str(nodes), "--pods", str(pods)]
    own, before = _children_cpu(), plane.cpu()
    with Sampler(plane) as sampler:
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode or not finished.stdout.strip():
        raise SystemExit(f"the driver failed against {plane.url}")
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    up, down = float(answer["up_s"]), float(answer["down_s"])
    return {
        "up_per_s": pods / up,
        "down_per_s": pods / down,
        "cycle_s": up + down,
        "peak_mb": sampler.peak / 1e6,
        "idle_mb": sampler.idle / 1e6,
        "server_cpu_s": plane.cpu() - before,
        "driver_cpu_s": float(answer.get("driver_cpu_s", _children_cpu() - own)),
    }


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(options: argparse.Namespace, nodes: int, pods: int) -> dict[str, Figures]:
    """The median of the rounds, for each control plane; each run starts from nothing."""
    runs: dict[str, list[Figures]] = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-motet-") as folder, motet(Path(folder)) as plane:
            runs.setdefault("motet", []).append(drive(plane, options.driver, nodes, pods))
        if options.reference:
            with (
                tempfile.TemporaryDirectory(prefix="bench-kubernetes-") as folder,
                kubernetes(Path(folder), options.reference, options.etcd) as plane,
            ):
                runs.setdefault("kubernetes", []).append(drive(plane, options.driver, nodes, pods))
    return {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]} for name, found in runs.items()
    }


def show(nodes: int, pods: int, found: dict[str, Figures]) -> None:
    print(f"{nodes} nodes, {pods} pods")
    for name, figures in found.items():
        print(
            f"  {name:10} up {figures['up_per_s']:7.0f} pods/s, down {figures['down_per_s']:7.0f} pods/s,"
            f" memory idle {figures['idle_mb']:5.0f} MB, peak {figures['peak_mb']:5.0f} MB; up and down took"
            f" {figures['cycle_s']:5.2f} s, CPU server {figures['server_cpu_s']:5.2f} s,"
            f" driver {figures['driver_cpu_s']:5.2f} s"
        )
    if "kubernetes" in found:
        ours, theirs = found["motet"], found["kubernetes"]
        print(
            f"  ratio      up {ours['up_per_s'] / theirs['up_per_s']:.1f}x,"
            f" down {ours['down_per_s'] / theirs['down_per_s']:.1f}x,"
            f" CPU {theirs['server_cpu_s'] / ours['server_cpu_s']:.1f}x less,"
            f" peak memory {ours['peak_mb'] / theirs['peak_mb']:.2f} of it",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", default=["50x1000", "200x3000"], metavar="NODESxPODS")
    parser.add_argument("--rounds", type=int, default=1, help="the median of so many runs is reported")
    parser.add_argument("--driver", type=Path, default=_DRIVER)
    parser.add_argument("--reference", type=Path, metavar="FOLDER")
    parser.add_argument("--etcd", default="etcd")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for size in options.size:
        nodes, pods = (int(number) for number in size.split("x"))
        found = compare(options, nodes, pods)
        results.append({"nodes": nodes, "pods": pods, **found})
        if not options.json:
            show(nodes, pods, found)
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
