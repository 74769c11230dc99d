"""What the agent tells of the use of its node: the kubelet's summary and resource metrics, and a short form for managers.

All are computed from looks (`sampling`), purely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from motet.agent.machine import Disk, Load
from motet.agent.sampling import NODE, Look, Rate, rate
from motet.base.timestamps import format_time

Json = dict[str, Any]

_NANO = 1_000_000_000


def usage(now: Look, before: Look | None) -> Json:
    """Nanocores and bytes of the node and of every container, for the metrics API: one answer for the whole node."""
    pods: dict[str, Json] = {}
    for key, owner in now.owners.items():
        used = rate(key, now, before) if owner.container else None
        if used is None:
            continue
        pod = pods.setdefault(owner.uid, {"namespace": owner.namespace, "name": owner.pod, "containers": []})
        pod["containers"].append({"name": owner.container, **_rate(used)})
    node = rate(NODE, now, before)
    return {"node": _rate(node) if node is not None else None, "pods": list(pods.values())}


def _rate(used: Rate) -> Json:
    return {"cpu": used.cpu, "memory": used.memory, "at": used.at, "window": used.window}


# --- the kubelet's summary --------------------------------------------------------------------------------------------


def summary(
    node_name: str, now: Look, before: Look | None, load: Load, disk: Disk, volumes: Mapping[str, Iterable[Json]] = {}
) -> Json:
    """The kubelet's `/stats/summary`, as far as the kernel says it. `volumes` by the pods' uids (`volumestats`)."""
    node: Json = {
        "nodeName": node_name,
        **_figures(NODE, now, before),
        "fs": {
            "time": _time(now.at),
            "availableBytes": disk.available,
            "capacityBytes": disk.capacity,
            "usedBytes": disk.capacity - disk.available,
            "inodesFree": disk.inodes_free,
            "inodes": disk.inodes,
            "inodesUsed": disk.inodes - disk.inodes_free,
        },
        "rlimit": {"time": _time(now.at), "maxpid": load.pids_limit, "curproc": load.pids},
    }
    node |= _network(NODE, now)
    node["memory"]["availableBytes"] = load.memory_available
    pods: dict[str, Json] = {}
    for key, owner in now.owners.items():
        if not owner.container:
            reference = {"name": owner.pod, "namespace": owner.namespace, "uid": owner.uid}
            found: Json = {"podRef": reference, "containers": [], **_figures(key, now, before), **_network(key, now)}
            if told := [{"time": _time(now.at), **each} for each in volumes.get(owner.uid, ())]:
                found["volume"] = told
            pods[owner.uid] = found
    for key, owner in now.owners.items():
        if owner.container and owner.uid in pods:
            started = {"startTime": _time(now.started[key])} if key in now.started else {}
            pods[owner.uid]["containers"].append({"name": owner.container, **started, **_figures(key, now, before)})
    return {"node": node, "pods": list(pods.values())}


def _figures(key: str, now: Look, before: Look | None) -> Json:
    reading = now.node if key == NODE else now.readings[key]
    stamp = _time(now.at)
    cpu: Json = {"time": stamp, "usageCoreNanoSeconds": reading.cpu}
    if (used := rate(key, now, before)) is not None:
        cpu["usageNanoCores"] = used.cpu
    return {"cpu": cpu, "memory": {"time": stamp, "workingSetBytes": reading.memory}}


_COUNTERS = {"rxBytes": "rx_bytes", "rxErrors": "rx_errors", "txBytes": "tx_bytes", "txErrors": "tx_errors"}
_DEFAULT_INTERFACE = "eth0"


def _network(key: str, now: Look) -> Json:
    """Every interface, and again the one by which everything goes."""
    interfaces = [
        {"name": name, **{shown: counters[held] for shown, held in _COUNTERS.items()}}
        for name, counters in now.networks.get(key, {}).items()
    ]
    if not interfaces:
        return {}
    default = next((each for each in interfaces if each["name"] == _DEFAULT_INTERFACE), {})
    return {"network": {"time": _time(now.at), **default, "interfaces": interfaces}}


def _time(instant: float) -> str:
    return format_time(datetime.fromtimestamp(instant, UTC))


# --- for Prometheus ---------------------------------------------------------------------------------------------------

_HELP = {
    "container_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the container in core-seconds"),
    "container_memory_working_set_bytes": ("gauge", "Current working set of the container in bytes"),
    "container_start_time_seconds": ("gauge", "Start time of the container since unix epoch in seconds"),
    "node_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the node in core-seconds"),
    "node_memory_working_set_bytes": ("gauge", "Current working set of the node in bytes"),
    "pod_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the pod in core-seconds"),
    "pod_memory_working_set_bytes": ("gauge", "Current working set of the pod in bytes"),
    "resource_scrape_error": ("gauge", "1 if there was an error while getting container metrics, 0 otherwise"),
}


def resource_metrics(now: Look) -> str:
    """The kubelet's `/metrics/resource`, in Prometheus' text format."""
    lines: dict[str, list[str]] = {name: [] for name in _HELP}
    for name, labels, value, at in _series(now):
        stamp = f" {int(at * 1000)}" if at else ""
        shown = "{" + ",".join(f'{key}="{text}"' for key, text in labels) + "}" if labels else ""
        lines[name].append(f"{name}{shown} {value:.15g}{stamp}")
    return "".join(
        f"# HELP {name} {about}\n# TYPE {name} {kind}\n" + "\n".join(lines[name]) + "\n"
        for name, (kind, about) in _HELP.items()
        if lines[name]
    )


def _series(now: Look) -> Iterator[tuple[str, Iterable[tuple[str, str]], float, float]]:
    for key, owner in now.owners.items():
        reading = now.readings[key]
        labels = [("namespace", owner.namespace), ("pod", owner.pod)]
        what = "pod"
        if owner.container:
            what, labels = "container", [("container", owner.container), *labels]
            yield "container_start_time_seconds", labels, now.started.get(key, 0.0), 0
        yield f"{what}_cpu_usage_seconds_total", labels, reading.cpu / _NANO, now.at
        yield f"{what}_memory_working_set_bytes", labels, reading.memory, now.at
    yield "node_cpu_usage_seconds_total", (), now.node.cpu / _NANO, now.at
    yield "node_memory_working_set_bytes", (), now.node.memory, now.at
    yield "resource_scrape_error", (), 0, 0
