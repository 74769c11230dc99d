"""Hollow nodes against any Kubernetes API server: how long pods take to Running, and to be gone.

    python benchmarks/drivers/hollow.py --server https://127.0.0.1:6443 --ca ca.crt --cert admin.crt --key admin.key \\
        --nodes 200 --pods 3000

Registers the nodes with their leases and plays their kubelets: leases are renewed, a pod bound to a node is reported Running,
one that is being deleted is finally deleted. Creates a Deployment and waits until all its pods run, deletes it and waits until
all are gone. One watch over all pods, 64 connections, 32 kubelets at work at a time. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import ssl
import statistics
import time
from typing import Any

import aiohttp
import msgspec
import uvloop

_MERGE = {"Content-Type": "application/merge-patch+json"}
_JSON = {"Content-Type": "application/json"}
_FINE = (200, 201, 202, 404, 409)
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
_CAPACITY = {"cpu": "32", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
_LEASE_SECONDS = 10.0
_PATIENCE = 300.0

Json = dict[str, Any]
_encode = msgspec.json.encode
_decode = msgspec.json.decode


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _node_status() -> Json:
    now = _now()
    healthy = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return {
        "capacity": _CAPACITY,
        "allocatable": _CAPACITY,
        "addresses": [{"type": "InternalIP", "address": "10.1.0.1"}],
        "conditions": [
            {"type": kind, "status": status, "reason": "Hollow", "message": "hollow", **times}
            for kind, status in healthy.items()
        ],
    }


def _running(pod: Json, number: int) -> Json:
    now = _now()
    return {
        "phase": "Running",
        "startTime": now,
        "hostIP": "10.1.0.1",
        "podIP": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": now}
            for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "x",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for container in pod["spec"]["containers"]
        ],
    }


def _deployment(pods: int) -> Json:
    requests = {"requests": {"cpu": "10m", "memory": "16Mi"}}
    container = {"name": "c", "image": "localhost/pause:1", "resources": requests}
    template = {"metadata": {"labels": {"app": "load"}}, "spec": {"containers": [container]}}
    spec = {"replicas": pods, "selector": {"matchLabels": {"app": "load"}}, "template": template}
    metadata = {"name": "load", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


class Driver:
    """One run."""

    def __init__(self, session: aiohttp.ClientSession, server: str, nodes: int, pods: int) -> None:
        self._session = session
        self._server = server
        self._nodes = nodes
        self._pods = pods
        self._work: asyncio.Queue[Json] = asyncio.Queue()
        # What the kubelets have taken up: pod -> "starting" or "ending".
        self._known: dict[tuple[str, str], str] = {}
        self._running: set[tuple[str, str]] = set()
        self._number = 0
        self._news = asyncio.Event()
        self._latencies: dict[str, list[float]] = {}

    async def call(self, method: str, path: str, body: Json | None = None, headers: Json = _JSON) -> tuple[int, Any]:
        began = time.perf_counter()
        data = None if body is None else _encode(body)
        async with self._session.request(method, self._server + path, data=data, headers=headers) as answer:
            content = await answer.read()
        self._latencies.setdefault(method, []).append(time.perf_counter() - began)
        if answer.status not in _FINE:
            raise SystemExit(f"{method} {path}: {answer.status} {content[:300]!r}")
        return answer.status, _decode(content) if content else None

    async def register(self, number: int) -> None:
        name = f"hollow-{number}"
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": f"z{number % 3}",
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}
        await self.call("POST", "/api/v1/nodes", {**node, "status": _node_status()})
        await self.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": _node_status()}, _MERGE)
        lease = {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {"holderIdentity": name}}
        lease["spec"]["leaseDurationSeconds"] = 40  # type: ignore[assignment]
        await self.call("POST", _LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease})

    async def renew(self) -> None:
        while True:
            began = time.monotonic()
            for number in range(self._nodes):
                spec = {"renewTime": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())}
                await self.call("PATCH", f"{_LEASES}/hollow-{number}", {"spec": spec}, _MERGE)
            await asyncio.sleep(max(0.0, _LEASE_SECONDS - (time.monotonic() - began)))

    async def kubelet(self) -> None:
        while True:
            pod = await self._work.get()
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
            if pod["metadata"].get("deletionTimestamp"):
                options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
                await self.call("DELETE", path, options)
            else:
                self._number += 1
                await self.call("PATCH", f"{path}/status", {"status": _running(pod, self._number)}, _MERGE)

    async def watch(self) -> None:
        _, listed = await self.call("GET", "/api/v1/pods?limit=1")
        revision = listed["metadata"]["resourceVersion"]
        while True:
            url = f"{self._server}/api/v1/pods?watch=true&resourceVersion={revision}"
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as answer:
                rest = b""
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = _decode(line)
                        if event["type"] == "ERROR":
                            raise SystemExit(f"the watch ended: {event}")
                        revision = event["object"]["metadata"]["resourceVersion"]
                        self.seen(event["type"], event["object"])
                    self._news.set()

    def seen(self, change: str, pod: Json) -> None:
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        if change == "DELETED":
            self._running.discard(key)
            self._known.pop(key, None)
        elif pod["metadata"].get("deletionTimestamp"):
            if self._known.get(key) != "ending":
                self._known[key] = "ending"
                self._work.put_nowait(pod)
        elif pod["spec"].get("nodeName"):
            if pod.get("status", {}).get("phase") == "Running":
                self._running.add(key)
            elif key not in self._known:
                self._known[key] = "starting"
                self._work.put_nowait(pod)

    async def until_running(self, pods: int) -> float:
        """Seconds until exactly so many pods run and, for none, nothing is known of any."""
        began = time.monotonic()
        async with asyncio.timeout(_PATIENCE):
            while len(self._running) != pods or (not pods and self._known):
                self._news.clear()
                await self._news.wait()
        return time.monotonic() - began

    async def ready(self) -> None:
        """Wait until pods can be made in the namespace `default`."""
        for _ in range(300):
            status, _ = await self.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")
            if status == 200:
                return
            await asyncio.sleep(0.2)
        raise SystemExit("the server never made the service account default/default")

    async def run(self) -> Json:
        await self.ready()
        began = time.monotonic()
        await asyncio.gather(*(self.register(number) for number in range(self._nodes)))
        registered = time.monotonic() - began
        helpers = [asyncio.create_task(each) for each in (self.watch(), self.renew())]
        helpers += [asyncio.create_task(self.kubelet()) for _ in range(32)]
        await asyncio.sleep(2)  # the first renewal of all leases is over by then
        self._latencies.clear()
        used = _cpu()
        await self.call("POST", _DEPLOYMENTS, _deployment(self._pods))
        up = await self.until_running(self._pods)
        latencies = {method: _summary(values) for method, values in self._latencies.items()}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self.call("DELETE", f"{_DEPLOYMENTS}/load", options)
        down = await self.until_running(0)
        used = _cpu() - used
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await asyncio.gather(*(self.call("DELETE", f"/api/v1/nodes/hollow-{n}") for n in range(self._nodes)))
        return {
            "nodes": self._nodes,
            "pods": self._pods,
            "register_s": round(registered, 3),
            "up_s": round(up, 3),
            "pods_per_s": round(self._pods / up, 1),
            "down_s": round(down, 3),
            "driver_cpu_s": round(used, 2),
            "latency_ms": latencies,
        }


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _summary(values: list[float]) -> Json:
    ordered = sorted(values)
    middle, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return {"p50": round(middle * 1000, 1), "p99": round(late * 1000, 1), "calls": len(ordered)}


async def drive(options: argparse.Namespace) -> None:
    context = ssl.create_default_context(cafile=options.ca)
    context.load_cert_chain(options.cert, options.key)
    connector = aiohttp.TCPConnector(ssl=context, limit=64)
    async with aiohttp.ClientSession(connector=connector) as session:
        result = await Driver(session, options.server, options.nodes, options.pods).run()
    print(_encode(result).decode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--server", "--ca", "--cert", "--key"):
        parser.add_argument(name, required=True)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--pods", type=int, default=1000)
    uvloop.run(drive(parser.parse_args()))


if __name__ == "__main__":
    main()
