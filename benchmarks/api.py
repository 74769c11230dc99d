"""How fast and how large the API server is: creates/s, gets/s, fan-out of watches, memory.

    python benchmarks/api.py [--seconds 3] [--synchronous FULL|NORMAL] [--watchers 1000] [--pods 5000] [--json]

Starts `benchmarks/drivers/api_server.py` in a process of its own and talks to it over HTTPS with client certificates. The load
comes from this process (one core): a bare HTTP client on uvloop that keeps one request in flight per connection.
Beside requests per second it reports the server's CPU time per request, which does not depend on the neighbours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """The server's process."""

    def __init__(self, directory: Path, synchronous: str) -> None:
        script = Path(__file__).parent / "drivers" / "api_server.py"
        command = [sys.executable, str(script), "--directory", str(directory), "--synchronous", synchronous]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        if not line or line[0] != "ready":
            raise SystemExit("the server did not start")
        self.port = int(line[1])

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


class Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, counts, sends the next: until told to stop."""

    def __init__(self, requests: Iterator[bytes], done: Callable[[float], None], expect: bytes) -> None:
        self._requests = requests
        self._done = done
        self._expect = expect
        self._buffer = bytearray()
        self._sent = 0.0
        self.running = True
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None) if self.running else None
        if request is None:
            if not self.ended.done():
                self.ended.set_result(None)
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = buffer.find(b"Content-Length: ", 0, head)
        length = int(buffer[at + 16 : buffer.find(b"\r\n", at)])
        if len(buffer) < head + 4 + length:
            return
        if not buffer.startswith(self._expect):
            self.ended.set_exception(RuntimeError(buffer.decode(errors="replace")[:500]))
            self._transport.close()
            return
        buffer.clear()
        self._done(time.perf_counter() - self._sent)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(ConnectionError("closed by the server"))


class Watcher(asyncio.Protocol):
    """Reads a watch and tells of every event."""

    def __init__(self, path: str, on_event: Callable[[int], None]) -> None:
        self._path = path
        self._on_event = on_event
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.transport.write(f"GET {self._path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
            return
        events = data.count(b'{"type":')
        if events:
            self._on_event(events)


@dataclass(frozen=True)
class Rate:
    """What one load measured."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float

    def show(self) -> str:
        latency = f"p50 {self.p50_ms:6.2f} ms   p99 {self.p99_ms:6.2f} ms"
        return f"{self.per_second:8.0f}/s   {latency}   server CPU {self.cpu_us:5.0f} us"


def pod(name: str) -> dict[str, Any]:
    """About 2 KB, as a Deployment's pods are."""
    container = {
        "name": "web",
        "image": "registry.example.com/team/web:1.27.3",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(10)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "config", "mountPath": "/etc/web"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "web", "tier": "front", "pod-template-hash": "5d9c7b6f4"},
            "annotations": {"example.com/owner": "team-web", "example.com/checksum": "0" * 64},
        },
        "spec": {
            "containers": [container],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "config", "configMap": {"name": "web"}}],
        },
    }


def post(path: str, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


PODS = "/api/v1/namespaces/default/pods"


async def load(
    server: Server, context: ssl.SSLContext, clients: int, seconds: float, requests: Iterator[bytes], expect: bytes
) -> Rate:
    """Keep `clients` connections busy for `seconds`, or until the requests run out."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    connections = []
    for _ in range(clients):
        _, connection = await loop.create_connection(
            lambda: Connection(requests, times.append, expect), "127.0.0.1", server.port, ssl=context
        )
        connections.append(connection)
    times.clear()
    began, cpu = time.perf_counter(), server.cpu()
    await asyncio.wait([connection.ended for connection in connections], timeout=seconds)
    passed, used, number = time.perf_counter() - began, server.cpu() - cpu, len(times)
    for connection in connections:
        connection.running = False
    await asyncio.gather(*(connection.ended for connection in connections))
    times.sort()
    if not number:
        return Rate(0.0, passed * 1000, passed * 1000, 0.0)
    return Rate(number / passed, times[number // 2] * 1000, times[number * 99 // 100] * 1000, used / number * 1e6)


async def fan_out(server: Server, context: ssl.SSLContext, watchers: int, events: int) -> dict[str, float]:
    """Memory of idle watches, then the time from a create until the last watcher has its event."""
    loop = asyncio.get_running_loop()
    seen = 0
    complete = asyncio.Event()

    def on_event(number: int) -> None:
        nonlocal seen
        seen += number
        if seen >= watchers:
            complete.set()

    before = server.memory()
    path = "/api/v1/namespaces/default/configmaps?watch=1&allowWatchBookmarks=true"
    open_ones = []
    for _ in range(watchers):
        _, watcher = await loop.create_connection(
            lambda: Watcher(path, on_event), "127.0.0.1", server.port, ssl=context
        )
        open_ones.append(watcher)
    await asyncio.gather(*(watcher.ready for watcher in open_ones))
    await asyncio.sleep(0.5)
    idle = (server.memory() - before) / watchers
    latencies = []
    cpu = server.cpu()
    for number in range(events):
        seen = 0
        complete.clear()
        request = post(
            "/api/v1/namespaces/default/configmaps",
            {"metadata": {"name": f"event-{number}"}, "data": {"k": "v" * 3000}},
        )
        began = time.perf_counter()
        await load(server, context, 1, 10, iter([request]), b"HTTP/1.1 201")
        await asyncio.wait_for(complete.wait(), 30)
        latencies.append(time.perf_counter() - began)
    used = (server.cpu() - cpu) / events
    for watcher in open_ones:
        watcher.transport.abort()
    latencies.sort()
    return {
        "idle_watch_kb": idle / 1024,
        "fan_out_p50_ms": latencies[events // 2] * 1000,
        "fan_out_cpu_ms": used * 1000,
    }


async def measure(
    server: Server, context: ssl.SSLContext, node: ssl.SSLContext, directory: str, options: argparse.Namespace
) -> dict[str, Any]:
    results: dict[str, Any] = {}
    number = iter(range(10**9))
    creates = (post(PODS, pod(f"web-{next(number)}")) for _ in iter(int, 1))
    for clients in (1, 64):
        rate = await load(server, context, clients, options.seconds, creates, b"HTTP/1.1 201")
        results[f"create_{clients}"] = vars(rate)
        report(options, f"create pod, {clients:2} clients", rate.show())
    gets = (get(f"{PODS}/web-{index % 100}") for index in iter(range(10**9)))
    for clients in (1, 64):
        rate = await load(server, context, clients, options.seconds, gets, b"HTTP/1.1 200")
        results[f"get_{clients}"] = vars(rate)
        report(options, f"get pod,    {clients:2} clients", rate.show())
    before = server.memory()
    batch = (post(PODS, pod(f"more-{index}")) for index in range(options.pods))
    await load(server, context, 16, 600, batch, b"HTTP/1.1 201")
    results["mb_per_1000_pods"] = (server.memory() - before) / options.pods * 1000 / 2**20
    report(options, "memory per 1,000 pods", f"{results['mb_per_1000_pods']:.1f} MB")
    fan = await fan_out(server, context, options.watchers, 20)
    results |= fan
    report(
        options,
        f"event to {options.watchers} watchers",
        f"p50 {fan['fan_out_p50_ms']:.1f} ms   server CPU {fan['fan_out_cpu_ms']:.1f} ms",
    )
    report(options, "memory per idle watch", f"{fan['idle_watch_kb']:.1f} KB")
    results["server_mb"] = server.memory() / 2**20
    crowd = await flood(server, node, directory, options)
    results |= crowd
    report(
        options,
        f"heartbeat, flood of {options.flood}",
        f"p50 {crowd['beat_in_flood_p50_ms']:.1f} ms   p99 {crowd['beat_in_flood_p99_ms']:.1f} ms   "
        f"(alone p99 {crowd['beat_alone_p99_ms']:.1f} ms)   served {crowd['flood_served']:.0f}, "
        f"refused {crowd['flood_refused']:.0f}",
    )
    return results


LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


async def flood(server: Server, node: ssl.SSLContext, directory: str, options: argparse.Namespace) -> dict[str, float]:
    """How long a node's heartbeat takes, alone and while one client lists pods over many connections at a time."""
    lease = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40}}
    await load(server, node, 1, 10, iter([post(LEASES, lease)]), b"HTTP/1.1 201")
    beat = post(f"{LEASES}/n1", lease).replace(b"POST", b"PUT", 1)
    beats = (beat for _ in iter(int, 1))
    alone = await load(server, node, 1, options.seconds, beats, b"HTTP/1.1 200")
    command = [sys.executable, str(Path(__file__).with_name("drivers") / "noise.py"), directory, str(server.port)]
    noise = subprocess.Popen([*command, str(options.flood)], stdout=subprocess.PIPE, text=True)
    assert noise.stdout is not None
    noise.stdout.readline()  # every connection stands
    crowded = await load(server, node, 1, options.seconds, beats, b"HTTP/1.1 200")
    noise.terminate()
    served, refused = map(int, noise.stdout.readline().split())
    noise.wait()
    return {
        "beat_alone_p99_ms": alone.p99_ms,
        "beat_in_flood_p50_ms": crowded.p50_ms,
        "beat_in_flood_p99_ms": crowded.p99_ms,
        "flood_served": served,
        "flood_refused": refused,
    }


def report(options: argparse.Namespace, name: str, value: str) -> None:
    if not options.json:
        print(f"{name:28} {value}", flush=True)


def _context(directory: str, who: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=f"{directory}/ca.crt")
    context.load_cert_chain(f"{directory}/{who}.crt", f"{directory}/{who}.key")
    return context


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each load")
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL", help="durability of the store")
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=5000, help="pods made to measure their memory")
    parser.add_argument("--flood", type=int, default=400, help="connections of the noisy client")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, options.watchers * 2 + 200)), hard))
    with tempfile.TemporaryDirectory(prefix="motet-bench-") as directory:
        server = Server(Path(directory), options.synchronous)
        try:
            admin, node = (_context(directory, who) for who in ("admin", "node"))
            results = uvloop.run(measure(server, admin, node, directory, options))
        finally:
            server.stop()
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
